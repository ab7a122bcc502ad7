"""PersistentVolume."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, amount, follows, metadata, one_of
from lateen.kube.validation.claim import MODES, access_modes
from lateen.kube.validation.errors import forbidden, required
from lateen.kube.validation.scheduling import node_selector

_POLICIES = ("Delete", "Recycle", "Retain")
_NOT_SOURCES = frozenset({
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy", "storageClassName",
    "volumeMode", "volumeAttributesClassName",
})  # fmt: skip


def volume(obj: Object, old: Object | None) -> Errors:
    """PersistentVolume."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    yield from access_modes(spec, "")
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield required("spec.capacity")
    for name, value in capacity.items():
        yield from amount(value, f"spec.capacity[{name}]", positive=True)
    yield from _sources(spec)
    yield from one_of(spec, "persistentVolumeReclaimPolicy", "spec", _POLICIES, need=False)
    yield from one_of(spec, "volumeMode", "spec", MODES, need=False)
    if spec.get("storageClassName"):
        yield from follows(names.dns_subdomain, "spec.storageClassName", spec["storageClassName"])
    if (spec.get("nodeAffinity") or {}).get("required"):
        yield from node_selector(spec["nodeAffinity"]["required"], "spec.nodeAffinity.required")
    if old is not None and _source(spec) != _source(old.get("spec") or {}):
        yield forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")


def _sources(spec: Object) -> Errors:
    given = list(_source(spec))
    if not given:
        yield required("spec", "must specify a volume type")
    for name in given[1:]:
        yield forbidden(f"spec.{name}", "may not specify more than 1 volume type")
    if given[:1] in (["hostPath"], ["local"]) and not spec[given[0]].get("path"):
        yield required(f"spec.{given[0]}.path")
    if given[:1] == ["local"] and not (spec.get("nodeAffinity") or {}).get("required"):
        yield required("spec.nodeAffinity", "Local volume requires node affinity")


def _source(spec: Object) -> Object:
    return {k: v for k, v in spec.items() if k not in _NOT_SOURCES and v is not None}
