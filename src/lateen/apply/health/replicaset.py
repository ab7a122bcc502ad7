"""ReplicaSets and ReplicationControllers: as many pods available as wanted."""

from __future__ import annotations

from lateen.apply.health import pod
from lateen.apply.health.seam import HEALTHY, Health, View, condition_of, degraded, in_motion, progressing, spec, status, told
from lateen.kube.meta import Object, uid_of


def assess(obj: Object, view: View) -> Health:
    """Available replicas against wanted ones; a failure to make pods is told."""
    if (moving := in_motion(obj)) is not None:
        return moving
    failure = condition_of(obj, "ReplicaFailure")
    if failure.get("status") == "True":
        return degraded(told(failure))
    wanted, available = spec(obj).get("replicas", 1), status(obj).get("availableReplicas", 0)
    if available >= wanted:
        return HEALTHY
    return pod.worst(view.children(uid_of(obj), "Pod"), view) or progressing(f"{available} of {wanted} pods are available")
