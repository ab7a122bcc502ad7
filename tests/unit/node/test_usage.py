"""What containers use: rates between two counts, and the processes of a family."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast

from lateen.aio.clock import VirtualClock
from lateen.aio.tasks import TaskOwner
from lateen.cluster.node.runtimes.processes import measure
from lateen.cluster.node.seam import Runtime, Used
from lateen.cluster.node.usage import Meter, Reading


class Counter:
    """A runtime that says what it is told to."""

    def __init__(self) -> None:
        self.asked, self.says = 0, dict[str, float]()

    async def usage(self) -> Mapping[str, Used]:
        self.asked += 1
        return {name: Used(cpu_seconds=seconds, memory=1, rss=1, processes=1) for name, seconds in self.says.items()}


async def read(meter: Meter, clock: VirtualClock, **started: datetime) -> Reading:
    async with TaskOwner("test") as owner:
        task = owner.start(meter.read(started), "read")
        while not task.done():
            await asyncio.sleep(0.005)  # what is read in a thread takes real time
            await clock.advance(0.25)
        return task.result()


async def test_rates_are_between_two_readings_and_readings_are_kept() -> None:
    clock, counter = VirtualClock(), Counter()
    meter = Meter(cast("Runtime", counter), clock)
    counter.says = {"a": 10.0}
    first = await read(meter, clock)
    assert (first.containers["a"].cores, counter.asked) == (0.0, 2)
    assert first.window >= 1
    assert await meter.read({"a": clock.now()}) is first
    await clock.advance(20.0)
    counter.says = {"a": 15.0, "new": 2.0}
    second = await read(meter, clock, new=clock.now() - timedelta(seconds=4))
    assert counter.asked == 3
    assert second.containers["a"].cores * second.window == 5.0
    assert second.containers["new"].cores == 0.5  # of its own life


async def test_an_old_count_says_nothing_about_now() -> None:
    clock, counter = VirtualClock(), Counter()
    meter = Meter(cast("Runtime", counter), clock)
    await read(meter, clock)
    await clock.advance(3600.0)
    assert (await read(meter, clock)).window < 5


def test_a_family_is_measured_with_its_children() -> None:
    script = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        used = measure({process.pid: "x"}, os.getpid())["x"]
        assert used.processes == 2
        assert used.memory > used.rss > 1_000_000
        os.kill(child, 9)
