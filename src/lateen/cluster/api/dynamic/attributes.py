"""A write as admission sees it, and as an AdmissionReview shows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lateen.cluster.api.registry import Served
from lateen.cluster.api.user import UserInfo
from lateen.kube.meta import Object
from lateen.kube.resources import Resource

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"
Gvk = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """``kind`` is that of the objects, which for a subresource may not be the resource's; ``obj`` is None for a delete, ``old``
    for a create. ``asked`` is the resource of the request where the objects were converted to another version's."""

    operation: str
    served: Served
    kind: Gvk
    subresource: str
    namespace: str
    name: str
    obj: Object | None
    old: Object | None
    user: UserInfo
    options: Mapping[str, Any]
    dry_run: bool
    asked: tuple[Resource, Gvk] | None = None

    @property
    def resource(self) -> Resource:
        """The resource that is written."""
        return self.served.resource

    def as_version(self, served: Served) -> Attributes:
        """The same write in another version of its resource."""
        if served is self.served:
            return self

        def converted(obj: Object | None) -> Object | None:
            return None if obj is None else served.from_storage(self.served.to_storage(obj))

        r = served.resource
        kind = (r.group, r.version, self.kind[2])
        return replace(
            self, served=served, kind=kind, obj=converted(self.obj), old=converted(self.old), asked=(self.resource, self.kind)
        )

    def back(self, obj: Object, original: Attributes) -> Object:
        """An object of this version in the original's."""
        if self.served is original.served:
            return obj
        return original.served.from_storage(self.served.to_storage(obj))

    def request(self, uid: str) -> dict[str, Any]:
        """The AdmissionRequest."""
        r, (asked, kind) = self.resource, self.asked or (self.resource, self.kind)
        found: dict[str, Any] = {
            "uid": uid,
            "kind": _kind(self.kind),
            "resource": _resource(r),
            "requestKind": _kind(kind),
            "requestResource": _resource(asked),
            "operation": self.operation,
            "userInfo": user_info(self.user),
            "object": self.obj,
            "oldObject": self.old,
            "dryRun": self.dry_run,
            "options": dict(self.options) or None,
        }
        if self.subresource:
            found["subResource"] = found["requestSubResource"] = self.subresource
        return found | {k: v for k, v in (("name", self.name), ("namespace", self.namespace)) if v}


def _kind(kind: Gvk) -> dict[str, str]:
    return dict(zip(("group", "version", "kind"), kind, strict=True))


def _resource(r: Resource) -> dict[str, str]:
    return {"group": r.group, "version": r.version, "resource": r.plural}


def user_info(user: UserInfo) -> dict[str, Any]:
    """Who asks, as authentication.k8s.io/v1 UserInfo."""
    found: dict[str, Any] = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        found["uid"] = user.uid
    return found | ({"extra": {k: list(v) for k, v in user.extra.items()}} if user.extra else {})
