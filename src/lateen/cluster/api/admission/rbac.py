"""Nobody grants more than they have: roles and bindings are checked against what their writer may do (or may ``escalate``,
``bind``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.auth.rbac import MASTERS, Attributes, described
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object

_GROUP = "rbac.authorization.k8s.io"
_EVERYTHING = ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]})


def check_role(backend: Backend, call: Call, new: Object, old: Object | None = None) -> None:
    """ForbiddenError if the role's rules go beyond the writer's own. What a role aggregates may be anything: then only one who
    may do everything writes it."""
    aggregation = new.get("aggregationRule")
    widened = aggregation and (old is None or aggregation != old.get("aggregationRule"))
    if widened and backend.access.rbac.missing(call.user, _EVERYTHING, ""):
        why = "must have cluster-admin privileges to use the aggregationRule"
        raise statuses.forbidden(call.served.resource, new["metadata"].get("name", ""), why)
    rules = new.get("rules") or ()
    if old is not None and rules == (old.get("rules") or ()):
        return
    _covered(backend, call, new, rules, verb="escalate", wanted=(call.served.resource.plural, new["metadata"].get("name", "")))


def check_binding(backend: Backend, call: Call, new: Object, old: Object | None = None) -> None:
    """ForbiddenError if the bound role's rules go beyond the writer's own."""
    if old is not None and new.get("subjects") == old.get("subjects"):
        return
    ref = new.get("roleRef") or {}
    if not ref.get("kind") or not ref.get("name"):
        return  # validation says so
    role = backend.access.rbac.role(ref, call.namespace)
    plural = "roles" if ref["kind"] == "Role" else "clusterroles"
    if role is None:
        if MASTERS in call.user.groups:
            return  # the role may follow
        raise statuses.not_found(backend.served(_GROUP, "v1", plural).resource, ref["name"])
    _covered(backend, call, new, role.get("rules") or (), verb="bind", wanted=(plural, ref["name"]))


def _covered(
    backend: Backend, call: Call, obj: Object, rules: Iterable[Mapping[str, Any]], *, verb: str, wanted: tuple[str, str]
) -> None:
    rbac, user = backend.access.rbac, call.user
    missing = rbac.missing(user, rules, call.namespace)
    if not missing:
        return
    plural, name = wanted
    if rbac.allowed(user, Attributes(verb=verb, group=_GROUP, resource=plural, namespace=call.namespace, name=name)):
        return
    groups = " ".join(f'"{g}"' for g in user.groups)
    who = f'user "{user.name}" (groups=[{groups}])'
    why = f"{who} is attempting to grant RBAC permissions not currently held:\n" + "\n".join(described(missing))
    raise statuses.forbidden(call.served.resource, obj["metadata"].get("name", ""), why)
