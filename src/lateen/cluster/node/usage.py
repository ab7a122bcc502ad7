"""What a node and its containers use: processor time as rates, memory. Measured when somebody asks, never on its own.

The runtime counts its containers (``Runtime.usage``); ``Meter`` takes two counts and divides. Read by ``stats``, for the kubelet's
summary, and through ``agent`` by the metrics API.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lateen.aio.clock import Clock
from lateen.cluster.node.seam import Runtime, Used

_FRESH = 10.0  # seconds for which a reading is given again
_STALE = 60.0  # seconds after which an earlier count says nothing about now
_SHORT = 1.0  # seconds between two counts at least
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """``cores`` over the reading's window; the rest as it is now."""

    cores: float
    used: Used


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look at the node. Containers by their attempt's id."""

    at: datetime
    window: float
    node: Rate
    containers: Mapping[str, Rate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    moment: float
    at: datetime
    node: Used
    containers: Mapping[str, Used]


class Meter:
    """The measurements of one node."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime, self._clock = runtime, clock
        self._last: _Count | None = None
        self._reading: Reading | None = None
        self._turn = asyncio.Lock()

    async def read(self, running: Mapping[str, datetime]) -> Reading:
        """What is used now; not measured more often than every ten seconds, or every second while one of ``running`` (with its
        start) was not there yet. TransportError, FailedError of the runtime."""
        async with self._turn:
            age = self._clock.monotonic() - self._last.moment if self._last is not None else None
            if self._reading is not None and age is not None and age < self._fresh(self._reading, running):
                return self._reading
            if self._last is None or age is None or age > _STALE:
                self._last = await self._count()
                await self._clock.sleep(_SHORT)
            count = await self._count()
            self._reading, self._last = _between(self._last, count, running), count
            return self._reading

    def _fresh(self, reading: Reading, running: Iterable[str]) -> float:
        return _FRESH if all(name in reading.containers for name in running) else _SHORT

    async def _count(self) -> _Count:
        containers = await self._runtime.usage()
        return _Count(
            moment=self._clock.monotonic(), at=self._clock.now(), node=await asyncio.to_thread(machine), containers=containers
        )


def _between(first: _Count, second: _Count, started: Mapping[str, datetime]) -> Reading:
    """Rates over the time between two counts; of a container that is new since then, over its life."""
    window = max(second.moment - first.moment, 0.001)

    def rate(name: str, after: Used) -> Rate:
        before = first.containers.get(name)
        if before is not None or name not in started:
            return _rate(before, after, window)
        life = (second.at - started[name]).total_seconds()
        return _rate(None, after, min(window, max(life, 0.1)))

    containers = {name: rate(name, used) for name, used in second.containers.items()}
    return Reading(at=second.at, window=window, node=_rate(first.node, second.node, window), containers=containers)


def _rate(before: Used | None, after: Used, seconds: float) -> Rate:
    spent = after.cpu_seconds - (before.cpu_seconds if before is not None else 0.0)
    return Rate(cores=max(0.0, spent) / seconds, used=after)


def machine() -> Used:
    """The whole machine: all time that was not idle, and all memory that is not available. Blocking, short."""
    cpu = [int(n) for n in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = cpu
    memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines()}
    working = memory["MemTotal"] - memory["MemAvailable"]
    busy = (user + nice + system + irq + softirq + steal) / _TICKS
    return Used(cpu_seconds=busy, memory=working, rss=memory["AnonPages"], processes=0)
