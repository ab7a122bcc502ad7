"""A few slots, shared fairly: whoever asks for many turns at once waits for its own, not the others for it.

The in-process callers of the API server share one: a turn of the event loop stays short however much one of them has to write,
and the next caller's request is served after at most one of everybody else's. (Fair queuing, as API priority and fairness does it.)
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar


class _Held:
    """A slot that the current task holds, but for the time that it lets others have it."""

    __slots__ = ("flow", "now", "turns")

    def __init__(self, turns: Turns, flow: str) -> None:
        self.turns, self.flow, self.now = turns, flow, True


_HELD: ContextVar[_Held | None] = ContextVar("held", default=None)


@asynccontextmanager
async def set_down() -> AsyncIterator[None]:
    """Let others have the slot that this task holds, if any, while inside: for waiting on what is outside of the process."""
    held = _HELD.get()
    if held is None or not held.now:
        yield
        return
    held.now = False
    held.turns._release()
    try:
        yield
    finally:
        await held.turns._acquire(held.flow)
        held.now = True


class Turns:
    """``slots`` may be held at a time; waiting flows get free ones in rotation, each flow's own waiters in order."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, flow: str) -> AsyncIterator[None]:
        """Hold a slot while inside."""
        await self._acquire(flow)
        held = _Held(self, flow)
        token = _HELD.set(held)
        try:
            yield
        finally:
            _HELD.reset(token)
            if held.now:
                self._release()

    async def _acquire(self, flow: str) -> None:
        if self._free:  # then nobody waits
            self._free -= 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(flow, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._release()  # it was given to us in the same moment
            raise

    def _release(self) -> None:
        while self._waiting:
            flow, line = next(iter(self._waiting.items()))
            waiter = line.popleft()
            if line:
                self._waiting.move_to_end(flow)
            else:
                del self._waiting[flow]
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
