"""In-place resize: what ``pods/resize`` accepts (ValidatePodResize)."""

from __future__ import annotations

from lateen.kube.meta import Object, meta
from lateen.kube.qos import qos_class
from lateen.kube.validation.base import Errors, entries
from lateen.kube.validation.containers import resources
from lateen.kube.validation.errors import forbidden, invalid

_MUTABLE = ("cpu", "memory")
_MIRROR = "kubernetes.io/config.mirror"


def update(obj: Object, old: Object | None) -> Errors:
    """The pod with other resources in its containers; everything else is the stored pod's already."""
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    if _MIRROR in (meta(obj).get("annotations") or {}):
        yield forbidden("", "static pods may not be resized")
    for kind in ("initContainers", "containers"):
        known = {c["name"]: c for c in before.get(kind) or ()}
        for at, container in entries(spec, kind, "spec"):
            found = container.get("resources") or {}
            yield from resources(found, f"{at}.resources")
            yield from _changed(found, (known.get(container["name"]) or {}).get("resources") or {}, f"{at}.resources")
    if qos_class(obj) != qos_class(old or {}):
        yield invalid("spec", qos_class(obj), "Pod QOS Class may not change as a result of resizing")


def _changed(new: Object, old: Object, at: str) -> Errors:
    for kind in ("limits", "requests"):
        now, then = new.get(kind) or {}, old.get(kind) or {}
        if any(name in then and name not in now for name in _MUTABLE):
            yield forbidden(f"{at}.{kind}", f"resource {kind} cannot be removed")
        if {k: v for k, v in now.items() if k not in _MUTABLE} != {k: v for k, v in then.items() if k not in _MUTABLE}:
            yield forbidden(f"{at}.{kind}", "only cpu and memory resources are mutable")
