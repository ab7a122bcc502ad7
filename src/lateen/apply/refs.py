"""References to objects, and what an object needs before it can be sent. Used everywhere in ``apply``."""

from __future__ import annotations

from typing import Any, NamedTuple

from lateen.kube.meta import Object, edit, meta

APP_LABEL = "lateen.dev/app"
_SERVER_FIELDS = ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "selfLink", "deletionTimestamp")


class Ref(NamedTuple):
    """Which object. The version does not make it another one, and is kept beside it where it matters."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def group_of(api_version: str) -> str:
    """``apps`` for ``apps/v1``, empty for ``v1``."""
    return api_version.rpartition("/")[0]


def ref_of(obj: Object) -> Ref:
    """The object's reference."""
    m = meta(obj)
    return Ref(group_of(obj["apiVersion"]), obj["kind"], m.get("namespace") or "", m["name"])


def intent(obj: Object, *, namespace: str, app: str) -> Object:
    """What to apply of ``obj``: in its namespace, labelled with its application, without what only a server writes."""
    wanted: Object = {k: v for k, v in edit(obj).items() if k != "status"}
    metadata: dict[str, Any] = {k: v for k, v in meta(wanted).items() if k not in _SERVER_FIELDS}
    if namespace:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    if app:
        metadata["labels"] = {**(metadata.get("labels") or {}), APP_LABEL: app}
    wanted["metadata"] = metadata
    return wanted
