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


def disrupted(moment: datetime, scheduler: str) -> Any:
    """A strategic merge patch of a victim's status."""
    text = f"{scheduler}: preempting to accommodate a higher priority pod"
    new = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": text}
    return {"status": {"conditions": [{**new, "lastProbeTime": None, "lastTransitionTime": timestamp(moment)}]}}


def unschedulable(pod: Object, message: str, moment: datetime, nominated: str = "") -> Any | None:
    """A strategic merge patch of the pod's status that says why it waits (and for which node), or None if it already does."""
    old = condition((pod.get("status") or {}).get("conditions"), "PodScheduled") or {}
    new = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    known = (pod.get("status") or {}).get("nominatedNodeName") or ""
    nominee = {"nominatedNodeName": nominated} if nominated and nominated != known else {}
    if all(old.get(k) == v for k, v in new.items()) and not nominee:
        return None
    when = old.get("lastTransitionTime") if old.get("status") == "False" else None
    conditions = [{**new, "lastProbeTime": None, "lastTransitionTime": when or timestamp(moment)}]
    return {"status": {"conditions": conditions, **nominee}}
