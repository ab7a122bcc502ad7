"""Authorization of requests: RBAC over the stored roles, impersonation, and the words of a refusal. Used by ``server`` and the
reviews."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.auth.rbac import MASTERS, Attributes, Rbac, refusal
from lateen.cluster.api.call import Call
from lateen.cluster.api.paths import ResourcePath
from lateen.cluster.api.registry import Registry
from lateen.cluster.api.user import UserInfo
from lateen.cluster.storage.seam import Storage
from lateen.errors import ForbiddenError
from lateen.kube.meta import Object

_RBAC = "rbac.authorization.k8s.io"
_KINDS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
_ACCOUNT = "system:serviceaccount:"


def rbac_over(storage: Storage, registry: Registry) -> Rbac:
    """Decisions by what is stored now."""
    served = {plural: registry.builtin(_RBAC, "v1", plural) for plural in _KINDS}
    prefixes = tuple(s.prefix() for s in served.values())

    def objects(plural: str, namespace: str) -> Iterable[Object]:
        return (r.obj for r in storage.list(served[plural].prefix(namespace)).records)

    return Rbac(objects, lambda: tuple(storage.changed(p) for p in prefixes))


def attributes_of(call: Call) -> Attributes:
    """What a call wants, in RBAC's terms."""
    r, path = call.served.resource, call.path
    # A Namespace is asked for within itself: a RoleBinding there is enough to read it.
    namespace = path.name if r.plural == "namespaces" and not r.group else path.namespace
    return Attributes(
        verb=call.verb,
        group=r.group,
        resource=r.plural,
        subresource=path.subresource,
        namespace=namespace,
        name=path.name or _selected_name(call.option("fieldSelector")),
    )


def _selected_name(selector: str) -> str:
    """The one name that a field selector leaves: listing or watching it is a matter of that object."""
    terms = (term.partition("=") for term in selector.split(","))
    return next((value.lstrip("=") for field, _, value in terms if field == "metadata.name"), "")


def check(rbac: Rbac, call: Call) -> None:
    """ForbiddenError unless the caller may."""
    if MASTERS in call.user.groups:
        return
    wanted = attributes_of(call)
    if not rbac.allowed(call.user, wanted):
        raise statuses.forbidden(call.served.resource, wanted.name, refusal(call.user, wanted))


def check_foreign(rbac: Rbac, user: UserInfo, verb: str, path: ResourcePath) -> None:
    """The same for a resource that an extension API server serves."""
    wanted = Attributes(
        verb=verb,
        group=path.group,
        resource=path.plural,
        subresource=path.subresource,
        namespace=path.namespace,
        name=path.name,
    )
    if MASTERS not in user.groups and not rbac.allowed(user, wanted):
        details = {"name": path.name, "group": path.group, "kind": path.plural}
        subject = f'{path.plural}.{path.group} "{path.name}"' if path.name else f"{path.plural}.{path.group}"
        raise ForbiddenError(f"{subject} is forbidden: {refusal(user, wanted)}", details={k: v for k, v in details.items() if v})


def check_path(rbac: Rbac, user: UserInfo, method: str, path: str) -> None:
    """The same for a path that is no resource."""
    wanted = Attributes(verb=method.lower(), path=path)
    if MASTERS not in user.groups and not rbac.allowed(user, wanted):
        raise ForbiddenError(f"forbidden: {refusal(user, wanted)}", details={})


def impersonated(rbac: Rbac, user: UserInfo, headers: Mapping[str, str], groups: Iterable[str]) -> UserInfo:
    """The user that the headers name. ``groups`` are the values of Impersonate-Group. ForbiddenError unless ``user`` may be
    them."""
    name = headers["Impersonate-User"]
    listed = tuple(groups)
    extra = {k[len("impersonate-extra-") :].lower(): (v,) for k, v in headers.items() if k.lower().startswith("impersonate-extra-")}
    if name.startswith(_ACCOUNT):
        namespace, _, account = name[len(_ACCOUNT) :].partition(":")
        _may(rbac, user, Attributes(verb="impersonate", resource="serviceaccounts", namespace=namespace, name=account))
        listed = listed or ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    else:
        _may(rbac, user, Attributes(verb="impersonate", resource="users", name=name))
    for group in groups:
        _may(rbac, user, Attributes(verb="impersonate", resource="groups", name=group))
    group = "authentication.k8s.io"
    uid = headers.get("Impersonate-Uid", "")
    if uid:
        _may(rbac, user, Attributes(verb="impersonate", group=group, resource="uids", name=uid))
    for key, (value,) in extra.items():
        _may(rbac, user, Attributes(verb="impersonate", group=group, resource="userextras", subresource=key, name=value))
    everyone = () if name == "system:anonymous" else ("system:authenticated",)
    return UserInfo(name=name, uid=uid, groups=tuple(dict.fromkeys((*listed, *everyone))), extra=extra)


def _may(rbac: Rbac, user: UserInfo, wanted: Attributes) -> None:
    if rbac.allowed(user, wanted):
        return
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    details: dict[str, Any] = {"name": wanted.name, "kind": wanted.resource}
    raise ForbiddenError(f'{qualified} "{wanted.name}" is forbidden: {refusal(user, wanted)}', details=details)
