"""PersistentVolumeClaim."""

from __future__ import annotations

from fractions import Fraction

from lateen.kube import names, quantity
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, amount, follows, label_selector, metadata, one_of
from lateen.kube.validation.errors import forbidden, required, unsupported

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
MODES = ("Block", "Filesystem")
_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def claim(obj: Object, old: Object | None) -> Errors:
    """PersistentVolumeClaim."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    yield from access_modes(spec, "at least 1 access mode is required")
    requests = (spec.get("resources") or {}).get("requests") or {}
    if requests.get("storage") is None:
        yield required("spec.resources[storage]")
    else:
        yield from amount(requests["storage"], "spec.resources[storage]", positive=True)
    if spec.get("storageClassName"):
        yield from follows(names.dns_subdomain, "spec.storageClassName", spec["storageClassName"])
    yield from one_of(spec, "volumeMode", "spec", MODES, need=False)
    yield from label_selector(spec.get("selector"), "spec.selector")
    if old is not None:
        yield from _update(spec, old)


def access_modes(spec: Object, missing: str) -> Errors:
    """At least one, and known ones."""
    if not spec.get("accessModes"):
        yield required("spec.accessModes", missing)
    for mode in spec.get("accessModes") or ():
        if mode not in ACCESS_MODES:
            yield unsupported("spec.accessModes", mode, ACCESS_MODES)


def _update(spec: Object, old: Object) -> Errors:
    before = old.get("spec") or {}
    loose = {"resources", "volumeAttributesClassName"}
    # The binder may name the volume, and the default class may come late.
    loose |= {name for name in ("volumeName", "storageClassName") if not before.get(name) and before.get(name) != ""}
    if {k: v for k, v in spec.items() if k not in loose} != {k: v for k, v in before.items() if k not in loose}:
        yield forbidden("spec", _FIXED)
    yield from _resize(spec, before, old)


def _resize(spec: Object, before: Object, old: Object) -> Errors:
    new_size, old_size = _size(spec), _size(before)
    if new_size is None or old_size is None or new_size == old_size:
        return
    if (old.get("status") or {}).get("phase") != "Bound":
        yield forbidden("spec", _FIXED)
    elif new_size < old_size:
        yield forbidden("spec.resources.requests.storage", "field can not be less than previous value")


def _size(spec: Object) -> Fraction | None:
    text = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    try:
        return None if text is None else quantity.parse(text)
    except ValueError:
        return None
