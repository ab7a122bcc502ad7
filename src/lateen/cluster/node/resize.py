"""In-place resize of a pod's containers: what is wanted, whether the node has it, and carrying it out. Used by ``worker``.

What a container has been given is its allocation: it starts with that, whatever the pod asks for meanwhile. It is read back from
the status, so that it outlives the daemon.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lateen.cluster.node.container import Container
from lateen.cluster.node.context import NodeContext
from lateen.errors import FailedError
from lateen.kube.meta import Object, meta
from lateen.kube.quantity import parse

Resources = Mapping[str, Mapping[str, str]]
_KINDS = ("cpu", "memory")
PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a resize is not done: a condition's type, reason and message."""

    type: str
    reason: str
    message: str


def sized(pod: Object) -> list[Mapping[str, Any]]:
    """The containers that can be resized: the main ones and sidecars."""
    spec = pod.get("spec") or {}
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [*sidecars, *(spec.get("containers") or ())]


def allocated(pod: Object) -> dict[str, Resources]:
    """What the status says that the containers have, else what the pod asked for."""
    status = pod.get("status") or {}
    reported = {s["name"]: s for kind in ("initContainerStatuses", "containerStatuses") for s in status.get(kind) or ()}
    found: dict[str, Resources] = {}
    for c in sized(pod):
        known = (reported.get(c["name"]) or {}).get("resources")
        found[c["name"]] = known if known else c.get("resources") or {}
    return found


def requested(resources: Iterable[Resources]) -> dict[str, Fraction]:
    """The sum of requests, of what a resize can change."""
    total = dict.fromkeys(_KINDS, Fraction(0))
    for one in resources:
        for kind in _KINDS:
            total[kind] += parse((one.get("requests") or {}).get(kind) or "0")
    return total


def verdict(wanted: Mapping[str, Fraction], others: Mapping[str, Fraction], allocatable: Mapping[str, str]) -> Verdict | None:
    """Whether the node has so much at all (Infeasible), and now (Deferred)."""
    for kind in _KINDS:
        most = parse(allocatable.get(kind) or "0")
        if wanted[kind] > most:
            text = (
                f"Node didn't have enough capacity: {kind}, requested: {_units(kind, wanted[kind])}, capacity: {_units(kind, most)}"
            )
            return Verdict(PENDING, "Infeasible", text)
    for kind in _KINDS:
        most = parse(allocatable.get(kind) or "0")
        if wanted[kind] + others[kind] > most:
            return Verdict(PENDING, "Deferred", f"Node didn't have enough resource: {kind}")
    return None


def _units(kind: str, value: Fraction) -> int:
    return int(value * 1000) if kind == "cpu" else int(value)


def must_restart(container: Mapping[str, Any], old: Resources, new: Resources) -> bool:
    """Whether the container's resizePolicy wants a restart for what changes."""
    policies = {p["resourceName"]: p["restartPolicy"] for p in container.get("resizePolicy") or ()}
    changed = {
        k for k in _KINDS if any((old.get(part) or {}).get(k) != (new.get(part) or {}).get(k) for part in ("requests", "limits"))
    }
    return any(policies.get(kind) == "RestartContainer" for kind in changed)


class Resizer:
    """One pod's allocation. ``held`` says why the last wish was not carried out."""

    def __init__(self, context: NodeContext, pod: Object) -> None:
        self._context = context
        self.allocated = allocated(pod)
        self.held: Verdict | None = None
        self._refused: Mapping[str, Resources] = {}

    def given(self, container: Mapping[str, Any]) -> Mapping[str, Any]:
        """The container with what it was given instead of what is wished for."""
        name = container["name"]
        return {**container, "resources": self.allocated[name]} if name in self.allocated else container

    async def follow(self, pod: Object, containers: Sequence[Container]) -> None:
        """Do what the pod asks for, as far as the node has it."""
        wanted: dict[str, Resources] = {c["name"]: c.get("resources") or {} for c in sized(pod)}
        changed = {name: new for name, new in wanted.items() if new != self.allocated.get(name)}
        if not changed:
            self.held = None
            return
        if wanted == self._refused:  # said already, and will not change
            return
        others = self._context.others(pod)
        found = verdict(requested(wanted.values()), others, self._context.allocatable)
        if found is None:
            found = await self._carry_out(pod, [c for c in containers if c.name in changed], changed)
        self._say(pod, found, wanted)

    async def _carry_out(self, pod: Object, containers: Sequence[Container], changed: Mapping[str, Resources]) -> Verdict | None:
        for container in containers:
            new = changed[container.name]
            restart = must_restart(container.spec, self.allocated[container.name], new)
            try:
                await container.resize(new, restart=restart)
            except FailedError as error:
                return Verdict(PENDING, "Infeasible", str(error))
            except OSError as error:
                return Verdict(IN_PROGRESS, "Error", f"container {container.name}: {error.strerror or error}")
            self.allocated[container.name] = new
        return None

    def _say(self, pod: Object, found: Verdict | None, wanted: Mapping[str, Resources]) -> None:
        if found is None:
            done = {
                "containers": [{"name": n, "resources": r} for n, r in wanted.items()],
                "generation": meta(pod).get("generation"),
            }
            self._context.recorder.normal(
                pod, "ResizeCompleted", f"Pod resize completed: {json.dumps(done, separators=(',', ':'))}"
            )
        elif found != self.held:
            reason = f"Resize{found.reason}"
            self._context.recorder.warning(pod, reason, f"Pod resize {found.reason}: {found.message}")
        self._refused = wanted if found is not None and found.reason == "Infeasible" else {}
        self.held = found
