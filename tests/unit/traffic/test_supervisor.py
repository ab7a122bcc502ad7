"""A proxy kept alive, on a pretended process owner and a virtual clock."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lateen.aio.clock import VirtualClock, settle
from lateen.aio.tasks import TaskOwner
from lateen.shim.client import Process, Spawn
from lateen.traffic.envoy.bootstrap import ProxySpec
from lateen.traffic.envoy.supervisor import Proxy


class Host:
    """Owns processes that are only records."""

    def __init__(self) -> None:
        self.known: dict[str, Process] = {}
        self.spawned: list[Spawn] = []
        self.signals: list[int] = []
        self._ends: dict[str, asyncio.Event] = {}

    def processes(self) -> Mapping[str, Process]:
        return self.known

    async def spawn(self, spawn: Spawn) -> Process:
        self.spawned.append(spawn)
        process = Process(id=spawn.id, pid=len(self.spawned), started_at="", finished_at="", exit_code=None, labels=spawn.labels)
        self.known[spawn.id], self._ends[spawn.id] = process, asyncio.Event()
        return process

    async def wait(self, name: str) -> Process:
        await self._ends[name].wait()
        return self.known[name]

    async def signal(self, name: str, number: int) -> bool:
        self.signals.append(number)
        self.end(name, 0)
        return True

    async def forget(self, name: str) -> None:
        del self.known[name]

    def end(self, name: str, code: int) -> None:
        self.known[name] = replace(self.known[name], exit_code=code)
        self._ends[name].set()


@pytest.fixture
def spec(tmp_path: Path) -> ProxySpec:
    return ProxySpec(group="mesh", binary=Path("/envoy"), folder=tmp_path, xds=tmp_path / "x", admin=tmp_path / "a")


async def test_it_is_started_again_with_growing_delays(spec: ProxySpec) -> None:
    clock, host, told = VirtualClock(), Host(), list[int]()
    proxy = Proxy(spec, host, clock, lambda: told.append(1))
    async with TaskOwner("test") as owner:
        owner.start(proxy.run(), "proxy")
        await settle()
        assert (len(host.spawned), proxy.alive, proxy.problem) == (1, True, "")
        delays = []
        for _ in range(4):
            host.end(spec.id, 139)
            await settle()
            assert not proxy.alive
            assert "exit code 139" in proxy.problem
            waited, count = 0.0, len(host.spawned)
            while len(host.spawned) == count:
                await clock.advance(0.01)
                waited += 0.01
            delays.append(round(waited, 2))
    assert delays == sorted(delays)
    assert delays[0] <= 0.05 < delays[-1]
    assert told


async def test_one_that_lived_long_starts_again_at_once(spec: ProxySpec) -> None:
    clock, host = VirtualClock(), Host()
    async with TaskOwner("test") as owner:
        owner.start(Proxy(spec, host, clock).run(), "proxy")
        await settle()
        for _ in range(6):
            await clock.advance(60)
            host.end(spec.id, 1)
            await settle()
            await clock.advance(0.03)
    assert len(host.spawned) == 7


async def test_a_running_one_is_adopted(spec: ProxySpec) -> None:
    clock, host = VirtualClock(), Host()
    for _ in range(2):
        async with TaskOwner("daemon") as owner:
            owner.start(Proxy(spec, host, clock).run(), "proxy")
            await settle()
    assert len(host.spawned) == 1


async def test_one_that_a_former_version_started_goes_on(spec: ProxySpec) -> None:
    clock, host = VirtualClock(), Host()
    for made in (spec, replace(spec, concurrency=1)):
        async with TaskOwner("daemon") as owner:
            owner.start(Proxy(made, host, clock).run(), "proxy")
            await settle()
    assert len(host.spawned) == 1


async def test_one_that_listens_elsewhere_is_replaced(spec: ProxySpec) -> None:
    clock, host = VirtualClock(), Host()
    for made in (spec, replace(spec, concurrency=1, admin=spec.folder / "b")):
        async with TaskOwner("daemon") as owner:
            owner.start(Proxy(made, host, clock).run(), "proxy")
            for _ in range(100):
                await asyncio.sleep(0.001)  # the admin socket is asked for real, and is not there
    assert (len(host.spawned), host.signals) == (2, [signal.SIGTERM])
    assert "--concurrency 1" in " ".join(host.spawned[-1].argv)
