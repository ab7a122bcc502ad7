"""authorization.k8s.io: may I, may they, what may I at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.auth.rbac import MASTERS, Attributes
from lateen.cluster.api.bodies import decode_object
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.user import UserInfo


def _wanted(spec: Mapping[str, Any]) -> Attributes:
    """The attributes in a review's spec. BadRequestError if it names none, or both kinds."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if bool(resource) is bool(path):
        raise statuses.bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified")
    if path:
        return Attributes(verb=path.get("verb", ""), path=path.get("path", ""))
    found = resource or {}
    names = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Attributes(**{n: found.get(n) or "" for n in names})


def _status(backend: Backend, user: UserInfo, wanted: Attributes) -> dict[str, Any]:
    allowed = backend.access.rbac.allowed(user, wanted)
    reason = "allowed by system:masters" if allowed and MASTERS in user.groups else "allowed by RBAC" if allowed else ""
    return {"allowed": allowed} | ({"reason": f"RBAC: {reason}"} if reason else {})


async def self_subject_access_review(backend: Backend, call: Call) -> Answer:
    """Whether the caller may."""
    obj = decode_object(call)
    return Answer(status=201, obj={**obj, "status": _status(backend, call.user, _wanted(obj.get("spec") or {}))})


async def subject_access_review(backend: Backend, call: Call) -> Answer:
    """Whether somebody else may."""
    obj = decode_object(call)
    spec = obj.get("spec") or {}
    if not spec.get("user") and not spec.get("groups"):
        raise statuses.bad_request("at least one of user or group must be specified")
    user = UserInfo(name=spec.get("user") or "", uid=spec.get("uid") or "", groups=tuple(spec.get("groups") or ()))
    return Answer(status=201, obj={**obj, "status": _status(backend, user, _wanted(spec))})


async def local_subject_access_review(backend: Backend, call: Call) -> Answer:
    """The same within the path's namespace."""
    spec = decode_object(call).get("spec") or {}
    if (spec.get("resourceAttributes") or {}).get("namespace") != call.namespace:
        raise statuses.bad_request("spec.resourceAttributes.namespace must match namespace")
    return await subject_access_review(backend, call)


async def self_subject_rules_review(backend: Backend, call: Call) -> Answer:
    """Every rule that applies to the caller in a namespace."""
    obj = decode_object(call)
    namespace = (obj.get("spec") or {}).get("namespace")
    if not namespace:
        raise statuses.bad_request("no namespace on request")
    rbac = backend.access.rbac
    rules = [*rbac.rules(call.user, ""), *rbac.rules(call.user, namespace)]
    if MASTERS in call.user.groups:
        every = ["*"]
        rules = [{"verbs": every, "apiGroups": every, "resources": every}, {"verbs": every, "nonResourceURLs": every}]
    resources = [{k: v for k, v in r.items() if k != "nonResourceURLs"} for r in rules if r.get("resources")]
    paths = [{"verbs": r["verbs"], "nonResourceURLs": r["nonResourceURLs"]} for r in rules if r.get("nonResourceURLs")]
    status = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
    return Answer(status=201, obj={**obj, "status": status})
