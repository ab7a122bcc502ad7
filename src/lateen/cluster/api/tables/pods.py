"""Pods: the one row that is a small machine. Its status column follows the order in which a person asks: init, waiting, ended,
leaving."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lateen.cluster.api.tables.base import AGE, NAME, NONE, Column, at, dig, human_duration
from lateen.kube.meta import Object, condition_true, parse_time


def _restartable(pod: Object) -> set[str]:
    return {c["name"] for c in dig(pod, "spec", "initContainers") or () if c.get("restartPolicy") == "Always"}


def _statuses(pod: Object, name: str) -> list[Mapping[str, Any]]:
    return list(dig(pod, "status", name) or ())


def ready(pod: Object, _: datetime) -> str:
    """``1/2``: sidecars count."""
    sidecars = _restartable(pod)
    total = len(dig(pod, "spec", "containers") or ()) + len(sidecars)
    up = sum(bool(c.get("ready")) for c in _statuses(pod, "containerStatuses"))
    up += sum(bool(c.get("ready")) for c in _statuses(pod, "initContainerStatuses") if c["name"] in sidecars and c.get("started"))
    return f"{up}/{total}"


def status(pod: Object, _: datetime) -> str:
    """The reason that a person looks for."""
    phase = str(dig(pod, "status", "reason") or dig(pod, "status", "phase") or "")
    gated = any(
        c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in dig(pod, "status", "conditions") or ()
    )
    reason = "SchedulingGated" if gated else phase
    starting = _initializing(pod)
    initialized = starting is None or condition_true(pod, "Initialized")
    reason = _running(pod, starting or reason) if initialized else str(starting)
    if dig(pod, "metadata", "deletionTimestamp"):
        if dig(pod, "status", "reason") == "NodeLost":
            return "Unknown"
        if dig(pod, "status", "phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return reason


def _initializing(pod: Object) -> str | None:
    """What the first unfinished init container says; None when all are through."""
    sidecars, total = _restartable(pod), len(dig(pod, "spec", "initContainers") or ())
    for i, container in enumerate(_statuses(pod, "initContainerStatuses")):
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting")
        if ended is not None and ended.get("exitCode") == 0:
            continue
        if container["name"] in sidecars and container.get("started"):
            continue
        if ended is not None:
            return f"Init:{_ended(ended)}"
        if waiting and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{i}/{total}"
    return None


def _ended(state: Mapping[str, Any]) -> str:
    if state.get("reason"):
        return str(state["reason"])
    return f"Signal:{state['signal']}" if state.get("signal") else f"ExitCode:{state.get('exitCode', 0)}"


def _running(pod: Object, reason: str) -> str:
    running = False
    for container in reversed(_statuses(pod, "containerStatuses")):
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif "terminated" in state:
            reason = _ended(state["terminated"])
        elif container.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        reason = "Running" if condition_true(pod, "Ready") else "NotReady"
    return reason


def restarts(pod: Object, now: datetime) -> str:
    """How often, and how long ago for the last time."""
    sidecars = _restartable(pod)
    initial = _statuses(pod, "initContainerStatuses")
    counted = [c for c in initial if c["name"] in sidecars] + _statuses(pod, "containerStatuses")
    if _initializing(pod) is not None and not condition_true(pod, "Initialized"):
        counted = initial
    total = sum(int(c.get("restartCount") or 0) for c in counted)
    ends = [parse_time(t) for c in counted if (t := dig(c, "lastState", "terminated", "finishedAt"))]
    return f"{total} ({human_duration((now - max(ends)).total_seconds())} ago)" if total and ends else str(total)


def _gates(pod: Object, _: datetime) -> str:
    gates = dig(pod, "spec", "readinessGates") or ()
    return f"{sum(condition_true(pod, g['conditionType']) for g in gates)}/{len(gates)}" if gates else NONE


KINDS = {
    "core/pods": (
        NAME,
        Column("Ready", ready),
        Column("Status", status),
        Column("Restarts", restarts),
        AGE,
        Column("IP", at("status", "podIP", default=NONE), priority=1),
        Column("Node", at("spec", "nodeName", default=NONE), priority=1),
        Column("Nominated Node", at("status", "nominatedNodeName", default=NONE), priority=1),
        Column("Readiness Gates", _gates, priority=1),
    )
}
