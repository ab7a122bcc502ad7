"""DaemonSets: the newest version runs on every node it should."""

from __future__ import annotations

from lateen.apply.health import pod
from lateen.apply.health.seam import HEALTHY, Health, View, in_motion, progressing, spec, status
from lateen.kube.meta import Object, uid_of


def assess(obj: Object, view: View) -> Health:
    """As kstatus."""
    if (moving := in_motion(obj)) is not None:
        return moving
    waits = _waits_for(obj)
    if not waits:
        return HEALTHY
    return pod.worst(view.children(uid_of(obj), "Pod"), view) or progressing(waits)


def _waits_for(obj: Object) -> str:
    s = status(obj)
    if "observedGeneration" not in s or "desiredNumberScheduled" not in s:
        return "waits for its controller"
    wanted = s["desiredNumberScheduled"]
    on_delete = (spec(obj).get("updateStrategy") or {}).get("type") == "OnDelete"
    updated = [] if on_delete else [("updatedNumberScheduled", "of the new version")]
    scheduled = ("currentNumberScheduled", "scheduled")
    for field, word in (scheduled, *updated, ("numberAvailable", "available"), ("numberReady", "ready")):
        if s.get(field, 0) < wanted:
            return f"{s.get(field, 0)} of {wanted} pods are {word}"
    return ""
