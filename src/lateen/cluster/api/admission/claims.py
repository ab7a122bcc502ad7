"""PersistentVolumeClaims without a class get the default one, the newest if there are several."""

from __future__ import annotations

from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object, annotations_of

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
