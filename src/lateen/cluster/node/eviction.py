"""Watches the node's memory and disk, and what pods keep on it: puts pods out when too little is left or one keeps too much.

Run by ``agent``; what to do is ``eviction_plan``'s. The node's conditions follow; its taints are the node lifecycle controller's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from lateen.cluster.node import eviction_plan as plan
from lateen.cluster.node.context import NodeContext
from lateen.cluster.node.eviction_plan import Signal, Threshold, Use
from lateen.cluster.node.seam import ContainerState, Used
from lateen.cluster.node.worker import PodWorker
from lateen.errors import LateenError
from lateen.kube.meta import Object, uid_of

log = logging.getLogger(__name__)
_EVERY = 10.0
_CALM = 300.0  # seconds a condition stays after its threshold was last crossed
_CLEAN_UP = 30.0  # seconds that a pod's end is waited for before the next one goes
Signals = Mapping[str, Signal]


class Evictor:
    """``workers`` are the node's pods; ``report`` writes the node's conditions, given those that are true. ``read`` measures the
    node, blocking."""

    def __init__(
        self,
        context: NodeContext,
        thresholds: Iterable[Threshold],
        *,
        workers: Callable[[], Iterable[PodWorker]],
        report: Callable[[frozenset[str]], Awaitable[None]],
        node: Callable[[], Object],
    ) -> None:
        self._context, self._thresholds = context, list(thresholds)
        self._workers, self._report, self._node = workers, report, node
        self.read: Callable[[], Signals] = lambda: machine(context.folder)
        self._seen: dict[str, float] = {}
        self._conditions: frozenset[str] = frozenset()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._context.clock.sleep(_EVERY)
            try:
                await self._look()
            except (LateenError, OSError) as error:
                log.warning("node %s: memory and disk could not be looked after: %s", self._context.node, error)

    def refuses(self, pod: Object) -> str:
        """Why a new pod is not taken now, or ''."""
        return plan.refusal(pod, sorted(self._conditions))

    async def _look(self) -> None:
        await self._over_their_limits()
        signals = await asyncio.to_thread(self.read)
        crossed = plan.met(self._thresholds, signals)
        await self._say(crossed)
        if crossed and crossed[0].signal != plan.MEMORY and await self._context.images.reclaim():
            signals = await asyncio.to_thread(self.read)
            crossed = plan.met(self._thresholds, signals)
        if crossed:
            await self._relieve(crossed[0], signals[crossed[0].signal])

    async def _say(self, crossed: Iterable[Threshold]) -> None:
        now = self._context.clock.monotonic()
        for threshold in crossed:
            self._seen[plan.CONDITIONS[threshold.signal]] = now
        conditions = frozenset(name for name, at in self._seen.items() if now - at < _CALM)
        if conditions != self._conditions:
            self._conditions = conditions
            await self._report(conditions)

    async def _relieve(self, threshold: Threshold, signal: Signal) -> None:
        """Put one pod out, and wait for it to go."""
        resource = threshold.signal.partition(".")[0]
        node: Object = {"apiVersion": "v1", "kind": "Node", **self._node()}
        self._context.recorder.warning(node, "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        workers = {w.uid: w for w in self._workers() if not w.ending and not w.finished}
        for use in plan.ranked(threshold.signal, await self._uses(workers.values(), threshold.signal)):
            worker = workers[uid_of(use.pod)]
            worker.evict(plan.pressure_message(threshold, signal, use))
            await self._gone(worker)
            return

    async def _gone(self, worker: PodWorker) -> None:
        end = self._context.clock.monotonic() + _CLEAN_UP
        while not (worker.finished or worker.removed) and self._context.clock.monotonic() < end:
            await self._context.clock.sleep(0.2)

    async def _uses(self, workers: Iterable[PodWorker], signal: str) -> list[Use]:
        used = await self._context.runtime.usage() if signal == plan.MEMORY else {}
        uses = []
        for worker in workers:
            disk = await asyncio.to_thread(self._disk, worker) if signal != plan.MEMORY else {}
            uses.append(Use(pod=worker.pod, memory=_memory(worker.running(), used), disk=disk))
        return uses

    def _disk(self, worker: PodWorker) -> dict[str, int]:
        """What the containers keep; the pod's volumes count as its first one's."""
        found = {name: self._kept(worker.uid, name) for name in worker.names()}
        volumes = sum(size(path) for path in worker.empty_volumes().values() if path.is_relative_to(self._context.folder))
        first = next(iter(found), "")
        return {**found, first: found.get(first, 0) + volumes}

    def _kept(self, uid: str, container: str) -> int:
        """Logs, and changes to the image's files. Blocking."""
        folder = self._context.pod_folder(uid)
        layers = (self._context.folder / "oci" / "containers").glob(f"{uid}_{container}_*/changes")
        return sum(size(p) for p in (folder / "logs" / container, folder / "changes" / container, *layers))

    async def _over_their_limits(self) -> None:
        for worker in list(self._workers()):
            if not worker.ending and not worker.finished and plan.limited(worker.pod):
                message = await asyncio.to_thread(self._excess, worker)
                if message:
                    worker.evict(message)

    def _excess(self, worker: PodWorker) -> str:
        volumes = {name: size(path) for name, path in worker.empty_volumes().items()}
        return plan.excess_message(worker.pod, volumes, {name: self._kept(worker.uid, name) for name in worker.names()})


def _memory(running: Iterable[tuple[str, ContainerState]], used: Mapping[str, Used]) -> dict[str, int]:
    return {name: used[state.id].memory for name, state in running if state.id in used}


def size(path: Path) -> int:
    """Bytes on disk of a folder and all in it. Blocking."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - fast on large trees
            except OSError:
                continue  # it has gone meanwhile
    return total


def machine(folder: Path) -> Signals:
    """What this machine has left: memory, and the disk that holds ``folder``. Blocking, short."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    disk = os.statvfs(folder)
    return {
        plan.MEMORY: Signal(memory["MemAvailable"], memory["MemTotal"]),
        plan.DISK: Signal(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
        plan.INODES: Signal(disk.f_favail, disk.f_files),
    }
