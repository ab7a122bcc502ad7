"""Volumes, claims and classes (pkg/apis/{core,storage}/v1/defaults.go)."""

from __future__ import annotations

from lateen.kube.defaults.base import Rule, amounts, fill, part
from lateen.kube.meta import Object


def claim(obj: Object) -> None:
    """PersistentVolumeClaim."""
    spec = part(obj, "spec")
    fill(part(obj, "status"), phase="Pending")
    fill(spec, volumeMode="Filesystem")
    for name in ("requests", "limits"):
        amounts((spec.get("resources") or {}).get(name))


def volume(obj: Object) -> None:
    """PersistentVolume."""
    spec = part(obj, "spec")
    fill(part(obj, "status"), phase="Pending")
    fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    if isinstance(spec.get("hostPath"), dict):
        spec["hostPath"].setdefault("type", "")
    amounts(spec.get("capacity"))


def storage_class(obj: Object) -> None:
    """StorageClass."""
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


RULES: dict[tuple[str, str], Rule] = {
    ("", "PersistentVolumeClaim"): claim,
    ("", "PersistentVolume"): volume,
    ("storage.k8s.io", "StorageClass"): storage_class,
}
