"""Work with a bound that may move: used by everything that ends a pod."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner


class Deadline:
    """A moment (monotonic) that only comes nearer: a pod's grace period may be shortened while it runs."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self.at = clock, clock.monotonic() + seconds
        self._nearer = asyncio.Event()

    def shorten(self, at: float) -> None:
        """Come nearer, if ``at`` is."""
        if at < self.at:
            self.at = at
            self._nearer.set()

    def left(self) -> float:
        """Seconds left, 0 when over."""
        return max(0.0, self.at - self._clock.monotonic())

    async def bound(self, work: Coroutine[Any, Any, Any], owner: TaskOwner, name: str, *, reserve: float = 0.0) -> bool:
        """Whether ``work`` ended before the deadline less ``reserve`` seconds; it is cancelled otherwise. Its failure counts as an
        end: the owner has reported it."""
        task = owner.start(work, name)
        try:
            while not task.done() and (left := self.left() - reserve) > 0:
                self._nearer.clear()
                waits = {owner.start(self._clock.sleep(left), f"{name}/timer"), owner.start(self._nearer.wait(), f"{name}/nearer")}
                try:
                    await asyncio.wait({task, *waits}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
            return task.done()
        finally:
            task.cancel()
