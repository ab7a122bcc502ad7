"""StatefulSets: every pod ready and of the newest revision."""

from __future__ import annotations

from lateen.apply.health import pod
from lateen.apply.health.seam import HEALTHY, Health, View, in_motion, progressing, spec, status
from lateen.kube.meta import Object, uid_of


def assess(obj: Object, view: View) -> Health:
    """As kstatus, with the revisions compared always (but for OnDelete and what a partition holds back)."""
    if (moving := in_motion(obj)) is not None:
        return moving
    waits = _waits_for(obj)
    if not waits:
        return HEALTHY
    return pod.worst(view.children(uid_of(obj), "Pod"), view) or progressing(waits)


def _waits_for(obj: Object) -> str:
    wanted, s = spec(obj).get("replicas", 1), status(obj)
    if "observedGeneration" not in s:
        return "waits for its controller"
    if s.get("readyReplicas", 0) < wanted:
        return f"{s.get('readyReplicas', 0)} of {wanted} pods are ready"
    if s.get("replicas", 0) > wanted:
        return f"{s['replicas'] - wanted} pods too many"
    strategy = spec(obj).get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return ""
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    if partition:
        expected, updated = max(0, wanted - partition), s.get("updatedReplicas", 0)
        return "" if updated >= expected else f"{updated} of {expected} pods are of the new version"
    if s.get("currentRevision") != s.get("updateRevision"):
        return f"{s.get('updatedReplicas', 0)} of {wanted} pods are of the new version"
    return ""
