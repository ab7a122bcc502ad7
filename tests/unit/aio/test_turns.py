"""Turns: slots are shared fairly between flows, and none is lost."""

from __future__ import annotations

import asyncio
import contextlib

from lateen.aio.tasks import TaskOwner, gather, outcomes
from lateen.aio.turns import Turns, set_down


async def test_flows_take_turns() -> None:
    turns, order = Turns(1), list[str]()

    async def work(flow: str) -> None:
        async with turns.turn(flow):
            order.append(flow)
            await asyncio.sleep(0)

    async with TaskOwner("t") as owner:
        tasks = [owner.start(work(f), f) for f in ["many"] * 5 + ["one"]]
        for task in tasks:
            await task
    assert order.index("one") <= 2
    assert len(order) == 6


async def test_a_cancelled_waiter_gives_its_slot_on() -> None:
    turns, entered = Turns(1), list[str]()

    async def work(name: str) -> None:
        async with turns.turn(name):
            entered.append(name)

    async with TaskOwner("t") as owner:
        async with turns.turn("holder"):
            waiting = owner.start(work("cancelled"), "cancelled")
            late = owner.start(work("late"), "late")
            await asyncio.sleep(0)
            waiting.cancel()
        await late
        assert entered == ["late"]
        await work("free again")


async def test_outcomes_keeps_order_and_limits_how_many_run() -> None:
    running, most = 0, 0

    async def work(i: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if i == 3:
            raise ValueError(i)
        return i

    found = await outcomes([work(i) for i in range(10)], at_once=4)
    assert [f for f in found if isinstance(f, int)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert isinstance(found[3], ValueError)
    assert most == 4


async def test_a_slot_is_set_down_and_taken_up_again() -> None:
    turns, said = Turns(1), list[str]()
    outside = asyncio.Event()

    async def slow() -> None:
        async with turns.turn("a"):
            async with set_down():
                await outside.wait()
            said.append("slow")

    async def quick() -> None:
        async with turns.turn("b"):
            said.append("quick")
            outside.set()

    await gather([slow(), quick()])
    assert said == ["quick", "slow"]
    async with turns.turn("c"):  # the slot is there, once
        assert turns._free == 0
    assert turns._free == 1


async def test_cancelled_while_its_slot_is_set_down() -> None:
    turns = Turns(1)

    async def waits() -> None:
        async with turns.turn("a"), set_down():
            await asyncio.Event().wait()

    async with TaskOwner("test") as owner:
        task = owner.start(waits(), "waits")
        await asyncio.sleep(0)
        async with turns.turn("b"):
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()  # while it waits for its slot
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert turns._free == 1
