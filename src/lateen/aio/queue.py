"""A de-duplicating work queue with delays and per-key back-off: the heart of every controller.

A key that is added many times waits once; a key that is being worked on is handed out again only after ``done``. The shape is
that of client-go's workqueue.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from lateen.aio.clock import Clock
from lateen.aio.retry import Backoff

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Not thread-safe: one loop. ``run_timers`` must run for delayed keys to arrive."""

    def __init__(self, clock: Clock, backoff: Backoff = Backoff()) -> None:  # noqa: B008 - Backoff is frozen
        self._clock, self._backoff = clock, backoff
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = itertools.count()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._earlier = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Hand ``key`` out once, as soon as a worker is free."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Add ``key`` after ``seconds``; an earlier date wins over a later one."""
        if seconds <= 0:
            self.add(key)
            return
        when = self._clock.monotonic() + seconds
        if self._due.get(key, float("inf")) <= when:
            return
        self._due[key] = when
        heapq.heappush(self._timers, (when, next(self._order), key))
        if self._timers[0][2] == key:
            self._earlier.set()

    def retry(self, key: K) -> float:
        """Add ``key`` after its back-off, which grows until ``forget``; the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._backoff.delay(failures)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts from the shortest back-off."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; the caller must call ``done`` for it."""
        while not self._ready:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.cancelled():
                    self._getters = deque(g for g in self._getters if g is not getter)
                elif self._ready:
                    self._wake()  # it was woken, and leaves: the key is another one's
                raise
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._active.add(key)
        if self._ready:
            self._wake()
        return key

    def done(self, key: K) -> None:
        """Work on ``key`` ended; if it was added meanwhile it waits again."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def run_timers(self) -> None:
        """Move delayed keys in when their time comes. Runs until cancelled."""
        while True:
            now = self._clock.monotonic()
            while self._timers and self._timers[0][0] <= now:
                when, _, key = heapq.heappop(self._timers)
                if self._due.get(key) == when:
                    del self._due[key]
                    self.add(key)
            self._earlier.clear()
            await self._until(self._timers[0][0] - now if self._timers else None)

    async def _until(self, seconds: float | None) -> None:
        """Wait ``seconds`` (for ever if None), or until an earlier timer arrives."""
        if seconds is None:
            await self._earlier.wait()
            return
        waits = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._earlier.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
