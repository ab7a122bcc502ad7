"""A pod's status as the kubelet writes it: pure. Called by the worker with what it knows; the result is a status to patch in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lateen.cluster.node.decide import EPHEMERAL, INIT, MAIN, SIDECAR
from lateen.cluster.node.seam import ContainerState, PodAddress
from lateen.kube.meta import Object, condition, meta, set_condition, timestamp, uid_of

TRAFFIC_READY = "lateen.dev/TrafficReady"
_PROTOCOL = "lateen://"
_RESIZE = ("PodResizePending", "PodResizeInProgress")
_DISRUPTION = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
_MESSAGES_MOST = 12 * 1024  # bytes of all messages of a pod's ended containers


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """One container. ``attempts`` are the known ones, oldest first; ``waiting`` (reason, message) is why there is none now."""

    name: str
    image: str
    kind: str = MAIN
    attempts: Sequence[ContainerState] = ()
    restarts: int = 0
    waiting: tuple[str, str] | None = None
    started: bool = False
    ready: bool = False
    image_id: str = ""
    stop_signal: str = ""
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def current(self) -> ContainerState | None:
        """The newest attempt, None while the next is waited for."""
        return self.attempts[-1] if self.attempts and self.waiting is None else None

    @property
    def running(self) -> bool:
        return self.current is not None and self.current.exit_code is None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """A pod. ``traffic`` is True once the gate admitted it, or (reason, message) of what it waits for; a ``phase`` is final.
    ``evicted`` says why the node put it out, ``resize`` (type, reason, message) why it was not resized."""

    pod: Object
    containers: Sequence[ContainerFacts]
    address: PodAddress | None = None
    start_time: str = ""
    traffic: bool | tuple[str, str] = ("WaitingForContainers", "")
    sandbox: bool = False
    phase: str = ""
    reason: str = ""
    message: str = ""
    gates: Iterable[str] = field(default_factory=tuple)
    evicted: str = ""
    resize: tuple[str, str, str] | None = None


def pod_status(facts: PodFacts, now: datetime) -> Object:
    """The whole status; conditions of others (readiness gates, DisruptionTarget) stay as they are in ``facts.pod``."""
    old = facts.pod.get("status") or {}
    phase = facts.phase or _phase(facts)
    most = _MESSAGES_MOST // max(1, len(facts.containers))
    status: Object = {
        "observedGeneration": meta(facts.pod).get("generation", 1),
        "phase": phase,
        "conditions": _conditions(facts, phase, old.get("conditions"), now),
        "startTime": facts.start_time,
        "containerStatuses": [container_status(c, most) for c in facts.containers if c.kind == MAIN],
    }
    for name, kinds in (("initContainerStatuses", (INIT, SIDECAR)), ("ephemeralContainerStatuses", (EPHEMERAL,))):
        if found := [container_status(c, most) for c in facts.containers if c.kind in kinds]:
            status[name] = found
    if facts.address is not None:
        status |= {"hostIP": facts.address.host_ip, "hostIPs": [{"ip": facts.address.host_ip}]}
        status |= {"podIP": facts.address.ip, "podIPs": [{"ip": facts.address.ip}]}
    for name, value in (("reason", facts.reason), ("message", facts.message)):
        if value or old.get(name):
            status[name] = value or None
    return status


def _phase(facts: PodFacts) -> str:
    mains = [c for c in facts.containers if c.kind == MAIN]
    if any(c.kind == INIT and not _completed(c) for c in facts.containers) and not any(c.attempts for c in mains):
        return "Pending"
    if any(c.kind == SIDECAR and not c.started for c in facts.containers) and not any(c.attempts for c in mains):
        return "Pending"
    if any(not c.attempts for c in mains):
        return "Pending"
    return "Running"


def _completed(c: ContainerFacts) -> bool:
    return bool(c.attempts) and c.attempts[-1].exit_code == 0


def container_status(c: ContainerFacts, most: int = _MESSAGES_MOST) -> Object:
    """One entry of containerStatuses; a message has ``most`` so many bytes."""
    current = c.current
    earlier = [a for a in c.attempts if a.exit_code is not None and a is not current]
    status: Object = {
        "name": c.name,
        "image": c.image,
        "imageID": c.image_id,
        "restartCount": c.restarts,
        "ready": c.ready,
        "started": c.started and c.running,
        "state": _state(c, current, most),
        "lastState": {"terminated": _terminated(earlier[-1], most)} if earlier else {},
    }
    if c.attempts:
        status["containerID"] = _PROTOCOL + c.attempts[-1].id
    if c.stop_signal:
        status["stopSignal"] = c.stop_signal
    if c.resources and c.kind in (MAIN, SIDECAR) and c.attempts:
        status |= {"resources": c.resources, "allocatedResources": c.resources.get("requests") or {}}
    if c.kind == INIT:
        status["ready"] = _completed(c)
    if c.kind == EPHEMERAL:
        status["ready"] = False
        del status["started"]
    return status


def _state(c: ContainerFacts, current: ContainerState | None, most: int) -> Object:
    if current is None:
        reason, message = c.waiting or ("ContainerCreating", "")
        return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    if current.exit_code is None:
        return {"running": {"startedAt": _seconds(current.started_at)}}
    return {"terminated": _terminated(current, most)}


def _terminated(a: ContainerState, most: int) -> Object:
    code = a.exit_code or 0
    result: Object = {"exitCode": code, "reason": a.reason or ("Completed" if code == 0 else "Error")}
    if a.message:
        result["message"] = a.message.encode()[:most].decode(errors="ignore")
    return result | {
        "startedAt": _seconds(a.started_at),
        "finishedAt": _seconds(a.finished_at),
        "containerID": _PROTOCOL + a.id,
    }


def _seconds(moment: str) -> str:
    return moment[:19] + "Z"


def _conditions(facts: PodFacts, phase: str, old: Iterable[Mapping[str, Any]] | None, now: datetime) -> list[dict[str, Any]]:
    generation = meta(facts.pod).get("generation", 1)
    conditions = [c for c in old or () if c["type"] not in _RESIZE or (facts.resize and c["type"] == facts.resize[0])]
    for new in _own_conditions(facts, phase, conditions):
        conditions = list(set_condition(conditions, {**new, "observedGeneration": generation}, now))
    return [dict(c) for c in conditions]


def _own_conditions(facts: PodFacts, phase: str, others: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    containers = _containers_ready(facts, phase)
    return [
        {"type": "PodReadyToStartContainers", "status": "True" if facts.sandbox else "False"},
        _initialised(facts, phase),
        _traffic(facts),
        _ready(facts, containers, others),
        {"type": "ContainersReady", **containers},
        {"type": "PodScheduled", "status": "True"},
        *([_resize(*facts.resize)] if facts.resize else []),
        *([_DISRUPTION | {"message": facts.evicted}] if facts.evicted else []),
    ]


def _resize(kind: str, reason: str, message: str) -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def _initialised(facts: PodFacts, phase: str) -> dict[str, Any]:
    waiting = [
        c.name
        for c in facts.containers
        if (c.kind == INIT and not _completed(c)) or (c.kind == SIDECAR and not c.started and not facts.phase)
    ]
    if phase == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    if not waiting or any(c.attempts for c in facts.containers if c.kind == MAIN):
        return {"type": "Initialized", "status": "True"}
    message = f"containers with incomplete status: [{' '.join(waiting)}]"
    return {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized", "message": message}


def _containers_ready(facts: PodFacts, phase: str) -> dict[str, Any]:
    if phase in ("Succeeded", "Failed"):
        return {"status": "False", "reason": "PodCompleted" if phase == "Succeeded" else "PodFailed"}
    unready = [c.name for c in facts.containers if c.kind in (SIDECAR, MAIN) and not c.ready]
    if not unready:
        return {"status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"status": "False", "reason": "ContainersNotReady", "message": message}


def _traffic(facts: PodFacts) -> dict[str, Any]:
    if facts.traffic is True:
        return {"type": TRAFFIC_READY, "status": "True"}
    reason, message = facts.traffic or ("Unknown", "")
    return {"type": TRAFFIC_READY, "status": "False", "reason": reason} | ({"message": message} if message else {})


def _ready(facts: PodFacts, containers: dict[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if containers["status"] != "True":
        return {"type": "Ready", **containers}
    if facts.traffic is not True:
        message = facts.traffic[1] if facts.traffic else ""
        said = "the proxies have not confirmed the pod yet" + (f": {message}" if message else "")
        return {"type": "Ready", "status": "False", "reason": "TrafficNotReady", "message": said}
    missing = [g for g in facts.gates if g != TRAFFIC_READY and (condition(others, g) or {}).get("status") != "True"]
    if not missing:
        return {"type": "Ready", "status": "True"}
    texts = [
        f'corresponding condition of pod readiness gate "{g}" does not exist.'
        if condition(others, g) is None
        else f'the status of pod readiness gate "{g}" is not "True", but {(condition(others, g) or {}).get("status")}'
        for g in missing
    ]
    return {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(texts)}


def containers_ready(status: Object) -> bool:
    """Whether the status says ContainersReady."""
    return (condition(status.get("conditions"), "ContainersReady") or {}).get("status") == "True"


def patch_for(pod: Object, status: Object) -> Object:
    """The merge patch that writes ``status`` to this very pod (not to one made anew under the same name)."""
    return {"metadata": {"uid": uid_of(pod)}, "status": status}


def initial_start_time(pod: Object, now: datetime) -> str:
    """status.startTime: when this node first saw the pod."""
    return str((pod.get("status") or {}).get("startTime") or timestamp(now))
