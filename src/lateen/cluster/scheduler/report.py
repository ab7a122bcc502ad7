"""What the scheduler writes: bindings, the PodScheduled condition, events. Pure: objects only; ``loop`` sends them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lateen.kube.meta import Object, condition, meta, timestamp, uid_of


def binding(pod: Object, node: str) -> Object:
    """The body of a POST to ``pods/binding``; the UID keeps it from binding a namesake."""
    m = meta(pod)
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    identity = {"name": m["name"], "namespace": m["namespace"], "uid": m["uid"]}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": identity, "target": target}


def unschedulable(pod: Object, message: str, moment: datetime) -> Any | None:
    """A strategic merge patch of the pod's status that says why it waits, or None if it already does."""
    old = condition((pod.get("status") or {}).get("conditions"), "PodScheduled") or {}
    new = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    if all(old.get(k) == v for k, v in new.items()):
        return None
    when = old.get("lastTransitionTime") if old.get("status") == "False" else None
    return {"status": {"conditions": [{**new, "lastProbeTime": None, "lastTransitionTime": when or timestamp(moment)}]}}


def event(pod: Object, *, kind: str, reason: str, message: str, moment: datetime) -> Object:
    """An event about the pod, as ``kubectl describe`` shows it. ``kind`` is Normal or Warning."""
    m, when = meta(pod), timestamp(moment)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{m['name'][:230]}.{int(moment.timestamp() * 1e9):x}", "namespace": m["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": m["name"],
            "namespace": m["namespace"],
            "uid": uid_of(pod),
            "resourceVersion": m.get("resourceVersion", ""),
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": "default-scheduler"},
        "reportingComponent": "default-scheduler",
        "reportingInstance": "",
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }
