"""Pods: ready, or why not. Workloads ask ``trouble`` for the first pod that fails and its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lateen.apply.health.seam import (
    HEALTHY,
    Health,
    State,
    View,
    condition_of,
    in_motion,
    progressing,
    spec,
    status,
    told,
)
from lateen.kube.meta import Object, key_of, meta, parse_time

_IMAGE = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError")
_CRASH = "CrashLoopBackOff"
_NEVER_STARTED = ("StartError", "ContainerCannotRun")


def assess(obj: Object, view: View) -> Health:
    """A pod of its own (not one of a workload's)."""
    if (moving := in_motion(obj)) is not None:
        return moving
    phase, forever = status(obj).get("phase"), spec(obj).get("restartPolicy", "Always") == "Always"
    if phase == "Succeeded":
        return HEALTHY
    if phase == "Failed":
        name, text = _first_exit(obj)
        return Health(State.degraded, status(obj).get("message") or text or "failed", True, key_of(obj) if name else None, name)
    if ready(obj):
        return HEALTHY if forever else progressing("is running")
    return trouble(obj, view) or progressing(waiting_for(obj))


def ready(pod: Object) -> bool:
    """Whether the pod is ready."""
    return condition_of(pod, "Ready").get("status") == "True"


def worst(pods: Iterable[Object], view: View) -> Health | None:
    """The trouble of the pods, a hopeless one first; None if none has any."""
    found = [t for pod in pods if not meta(pod).get("deletionTimestamp") and not ready(pod) and (t := trouble(pod, view))]
    return min(found, key=lambda t: not t.hopeless, default=None)


def trouble(pod: Object, view: View) -> Health | None:
    """What keeps a pod from becoming ready, if it is more than time."""
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return _at(pod, "", f"no node fits: {told(scheduled)}", age(pod, view) >= view.patience.unschedulable)
    for found in containers(pod):
        if health := _container(pod, found, view):
            return health
    if status(pod).get("phase") == "Failed":
        return _at(pod, "", status(pod).get("message") or status(pod).get("reason") or "failed", False)
    return None


def _container(pod: Object, found: Mapping[str, Any], view: View) -> Health | None:
    waiting, name = (found.get("state") or {}).get("waiting") or {}, found.get("name", "")
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    patience, restarts = view.patience, found.get("restartCount", 0)
    if reason in _IMAGE:
        text = f"{reason}: {message or 'image ' + found.get('image', '')}"
        return _at(pod, "", text, age(pod, view) >= patience.image)
    if reason in _CONFIG:
        return _at(pod, "", f"{reason}: {message}", age(pod, view) >= patience.config)
    ended = (found.get("state") or {}).get("terminated") or (found.get("lastState") or {}).get("terminated") or {}
    if reason == _CRASH or (ended.get("exitCode") and restarts and not found.get("ready")):
        times = f"{restarts} restart{'s' if restarts != 1 else ''}"
        hopeless = restarts >= patience.crashes and _since(ended, view)
        return _at(pod, name, f"container {name} {_exit(ended)} ({times})", hopeless or _unstartable(ended, pod, view))
    if ended.get("exitCode") and "terminated" in (found.get("state") or {}):
        hopeless = spec(pod).get("restartPolicy") == "Never" or _unstartable(ended, pod, view)
        return _at(pod, name, f"container {name} {_exit(ended)}", hopeless)
    return None


def _since(ended: Mapping[str, Any], view: View) -> bool:
    """Whether it ended since it is looked at: that it kept failing before says nothing about now. (Times have whole seconds.)"""
    finished = ended.get("finishedAt")
    return not finished or (parse_time(finished) - view.began).total_seconds() > -1


def _unstartable(ended: Mapping[str, Any], pod: Object, view: View) -> bool:
    return ended.get("reason") in _NEVER_STARTED and age(pod, view) >= view.patience.unstartable


def _at(pod: Object, container: str, message: str, hopeless: bool) -> Health:
    key = key_of(pod)
    state = State.degraded if hopeless else State.progressing
    return Health(state, f"pod {key.name}: {message}", hopeless, key if container else None, container)


def _exit(ended: Mapping[str, Any]) -> str:
    if ended.get("reason") == "OOMKilled":
        return "was killed: it used more memory than its limit"
    if signal := ended.get("signal"):
        return f"was killed by signal {signal}"
    said = f": {ended['message'].strip()}" if ended.get("message") else ""
    if ended.get("reason") in _NEVER_STARTED:
        return f"cannot be started{said}"
    return f"exits with code {ended['exitCode']}{said}" if "exitCode" in ended else "keeps failing"


def _first_exit(pod: Object) -> tuple[str, str]:
    for found in containers(pod):
        ended = (found.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            return found.get("name", ""), f"container {found.get('name')} {_exit(ended)}"
    return "", ""


def containers(pod: Object) -> list[Mapping[str, Any]]:
    """Container statuses, init containers first."""
    return [*(status(pod).get("initContainerStatuses") or ()), *(status(pod).get("containerStatuses") or ())]


def waiting_for(pod: Object) -> str:
    """What a pod without trouble is waiting for."""
    if not spec(pod).get("nodeName"):
        return "waits for a node"
    for found in containers(pod):
        if (waiting := (found.get("state") or {}).get("waiting")) is not None:
            return f"container {found.get('name')}: {waiting.get('reason') or 'is being made'}"
    for kind in ("ContainersReady", "Ready"):
        if (found_condition := condition_of(pod, kind)).get("status") == "False":
            return told(found_condition)
    return "is starting"


def age(pod: Object, view: View) -> float:
    """Seconds since the pod was made."""
    made = meta(pod).get("creationTimestamp")
    return (view.now() - parse_time(made)).total_seconds() if made else 0.0
