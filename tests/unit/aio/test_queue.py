"""The work queue on a virtual clock."""

from collections.abc import AsyncIterator

import pytest

from lateen.aio.clock import VirtualClock, settle
from lateen.aio.queue import WorkQueue
from lateen.aio.retry import Backoff
from lateen.aio.tasks import TaskOwner


@pytest.fixture
async def timed() -> AsyncIterator[tuple[WorkQueue[str], VirtualClock, TaskOwner]]:
    clock = VirtualClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    async with TaskOwner("test") as owner:
        owner.start(queue.run_timers(), "timers")
        yield queue, clock, owner


Timed = tuple[WorkQueue[str], VirtualClock, TaskOwner]


async def test_a_key_waits_once(timed: Timed) -> None:
    queue, _, _ = timed
    for key in "aba":
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_is_never_worked_on_twice_at_once(timed: Timed) -> None:
    queue, _, owner = timed
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    second = owner.start(queue.get(), "second")
    await settle()
    assert not second.done()
    queue.done("a")
    assert await second == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_delays_and_the_earliest_date_wins(timed: Timed) -> None:
    queue, clock, owner = timed
    queue.add_after("late", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 1)
    queue.add_after("a", 7)
    got = owner.start(queue.get(), "got")
    await clock.advance(0.9)
    assert not got.done()
    await clock.advance(0.2)
    assert await got == "a"
    queue.done("a")
    await clock.advance(8)
    assert len(queue) == 0
    await clock.advance(2)
    assert await queue.get() == "late"


async def test_back_off_grows_until_forgotten(timed: Timed) -> None:
    queue, _, _ = timed
    assert [queue.retry("a") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    queue.forget("a")
    assert queue.retry("a") == 0.005


async def test_a_cancelled_worker_loses_no_key(timed: Timed) -> None:
    queue, _, owner = timed
    first = owner.start(queue.get(), "first")
    second = owner.start(queue.get(), "second")
    await settle()
    first.cancel()
    queue.add("a")
    assert await second == "a"


async def test_a_worker_cancelled_after_its_wake_passes_it_on(timed: Timed) -> None:
    queue, _, owner = timed
    first = owner.start(queue.get(), "first")
    second = owner.start(queue.get(), "second")
    await settle()
    queue.add("a")  # wakes the first
    first.cancel()
    await settle()
    assert second.done()
    assert second.result() == "a"


def test_back_off_has_a_most_and_jitter() -> None:
    backoff = Backoff(first=1, factor=2, most=5, jitter=0.5)
    assert [backoff.delay(i) for i in range(4)] == [1, 2, 4, 5]
    assert backoff.delay(0, 0.5) == 1.25
    assert backoff.delay(10_000) == 5
