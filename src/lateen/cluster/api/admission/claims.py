"""PersistentVolumeClaims: without a class they get the default one, the newest of several; they grow where their class allows."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object, annotations_of
from lateen.kube.quantity import parse

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def on_create(backend: Backend, call: Call, claim: Object) -> None:
    """Fill in ``spec.storageClassName``, in place; an empty one means none."""
    spec = claim.setdefault("spec", {})
    if "storageClassName" in spec or "volume.beta.kubernetes.io/storage-class" in annotations_of(claim):
        return
    classes = [c for c in backend.objects("storage.k8s.io", "v1", "storageclasses") if annotations_of(c).get(_DEFAULT) == "true"]
    if classes:
        newest = max(classes, key=lambda c: (c["metadata"]["creationTimestamp"], c["metadata"]["name"]))
        spec["storageClassName"] = newest["metadata"]["name"]


def on_update(backend: Backend, call: Call, claim: Object, old: Object) -> None:
    """A claim may grow only if its class provides for that (PersistentVolumeClaimResize)."""
    if _size(claim) <= _size(old):
        return
    name = (old.get("spec") or {}).get("storageClassName") or ""
    classes = {c["metadata"]["name"]: c for c in backend.objects("storage.k8s.io", "v1", "storageclasses")}
    if not classes.get(name, {}).get("allowVolumeExpansion"):
        why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
        raise statuses.forbidden(call.served.resource, claim["metadata"]["name"], why)


def _size(claim: Object) -> float:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    try:
        return float(parse(requests.get("storage") or "0"))
    except ValueError:
        return 0.0  # said by validation
