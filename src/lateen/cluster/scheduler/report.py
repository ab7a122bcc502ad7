"""What the scheduler writes about a pod: its binding, its PodScheduled condition. Pure: objects only; ``loop`` sends them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lateen.kube.meta import Object, condition, meta, timestamp


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
