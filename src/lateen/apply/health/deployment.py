"""Deployments: the newest version runs in full, and nothing of an older one is left."""

from __future__ import annotations

from lateen.apply.health import pod
from lateen.apply.health.seam import (
    HEALTHY,
    Health,
    State,
    View,
    condition_of,
    degraded,
    in_motion,
    progressing,
    spec,
    status,
    told,
)
from lateen.kube.meta import Object, annotations_of, meta, uid_of

_REVISION = "deployment.kubernetes.io/revision"


def assess(obj: Object, view: View) -> Health:
    """Union of what Argo CD and kstatus ask for, with the first failing pod's reason."""
    if (moving := in_motion(obj)) is not None:
        return moving
    if spec(obj).get("paused"):
        return Health(State.suspended, "is paused")
    if "observedGeneration" not in status(obj):
        return progressing("waits for its controller")
    waits = _waits_for(obj)
    if not waits:
        return HEALTHY
    trouble = pod.worst(_new_pods(obj, view), view)
    late = condition_of(obj, "Progressing")
    if late.get("reason") == "ProgressDeadlineExceeded":
        return (
            trouble
            if trouble and trouble.hopeless
            else degraded(f"{waits}; {trouble.message if trouble else told(late)}", hopeless=True)
        )
    failure = condition_of(obj, "ReplicaFailure")
    if failure.get("status") == "True":
        return Health(State.progressing, told(failure))
    return trouble or progressing(waits)


def _waits_for(obj: Object) -> str:
    wanted, s = spec(obj).get("replicas", 1), status(obj)
    updated, total, available = s.get("updatedReplicas", 0), s.get("replicas", 0), s.get("availableReplicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} pods are of the new version"
    if total > updated:
        return f"{total - updated} old pods are still there"
    if available < wanted or s.get("readyReplicas", 0) < wanted:
        return f"{available} of {wanted} pods are available"
    found = condition_of(obj, "Available")
    return told(found) if found and found.get("status") != "True" else ""


def _new_pods(obj: Object, view: View) -> list[Object]:
    """The pods of the version that the Deployment itself names (else the newest): an older one's troubles say nothing about it."""
    wanted = annotations_of(obj).get(_REVISION)
    sets = [s for s in view.children(uid_of(obj), "ReplicaSet") if wanted in (None, annotations_of(s).get(_REVISION))]
    newest = max(sets, key=_revision, default=None)
    return list(view.children(uid_of(newest), "Pod")) if newest is not None else []


def _revision(replica_set: Object) -> tuple[int, str]:
    text = annotations_of(replica_set).get(_REVISION, "")
    return (int(text) if text.isdecimal() else 0, str(meta(replica_set).get("creationTimestamp") or ""))
