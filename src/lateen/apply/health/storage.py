"""PersistentVolumeClaims: bound, or waiting for the pod that will use them."""

from __future__ import annotations

from lateen.apply.health.seam import HEALTHY, Health, View, degraded, in_motion, progressing, spec, status
from lateen.kube.meta import Object, annotations_of, meta


def assess(obj: Object, view: View) -> Health:
    """Bound; or unbound by design, because its class waits for a first pod and none has come. Waiting for that would never end."""
    if (moving := in_motion(obj)) is not None:
        return moving
    phase = status(obj).get("phase", "Pending")
    if phase == "Bound":
        return HEALTHY
    if phase == "Lost":
        return degraded("its volume is gone", hopeless=True)
    if _waits_for_consumer(obj, view) and not _consumers(obj, view):
        return HEALTHY
    return progressing("waits for a volume")


def _waits_for_consumer(obj: Object, view: View) -> bool:
    wanted = spec(obj).get("storageClassName")
    for found in view.all("StorageClass"):
        default = annotations_of(found).get("storageclass.kubernetes.io/is-default-class") == "true"
        if meta(found).get("name") == wanted or (wanted is None and default):
            return bool(found.get("volumeBindingMode") == "WaitForFirstConsumer")
    return False


def _consumers(obj: Object, view: View) -> list[Object]:
    name = meta(obj)["name"]
    return [
        pod
        for pod in view.all("Pod", meta(obj).get("namespace", ""))
        if any((v.get("persistentVolumeClaim") or {}).get("claimName") == name for v in spec(pod).get("volumes") or ())
    ]
