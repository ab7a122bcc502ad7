"""Watchers and who gets which event. Used by ``core`` only.

A watcher has a bounded buffer. Delivering never waits: a watcher whose buffer is full is cut off and learns so by
CompactedError at its next read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from lateen.cluster.storage.seam import Event
from lateen.errors import CompactedError


class Watcher:
    """One watch (see ``seam.Watch``)."""

    def __init__(self, fanout: Fanout, prefix: str, replay: list[Event]) -> None:
        self.prefix = prefix
        self._fanout = fanout
        self._buffer = replay
        self._waiting: asyncio.Future[None] | None = None
        self._ended = self._lost = False

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self

    async def __anext__(self) -> Sequence[Event]:
        while not self._buffer:
            if self._lost:
                raise CompactedError(f"the watch of {self.prefix} did not keep up")
            if self._ended:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        batch, self._buffer = self._buffer, []
        return batch

    async def __aenter__(self) -> Watcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching. Idempotent."""
        self._buffer = []
        self.end()

    def end(self) -> None:
        """No more events will come; what is buffered may still be read."""
        self._ended = True
        self._fanout.remove(self)
        self.wake()

    def deliver(self, event: Event, limit: int) -> bool:
        """Buffer the event. True if the reader has to be woken."""
        self._buffer.append(event)
        if len(self._buffer) > limit:
            self._buffer, self._lost = [], True
            self._fanout.remove(self)
        return len(self._buffer) <= 1

    def wake(self) -> None:
        """Let a waiting reader go on."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Fanout:
    """Watchers by prefix."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._watchers: dict[str, dict[Watcher, None]] = {}

    def add(self, prefix: str, replay: list[Event]) -> Watcher:
        """A watcher that first gets ``replay``, then everything delivered from now on."""
        watcher = Watcher(self, prefix, replay)
        self._watchers.setdefault(prefix, {})[watcher] = None
        return watcher

    def remove(self, watcher: Watcher) -> None:
        """Forget the watcher. Idempotent."""
        found = self._watchers.get(watcher.prefix)
        if found is not None and found.pop(watcher, watcher) is None and not found:
            del self._watchers[watcher.prefix]

    def deliver(self, events: Iterable[tuple[Event, tuple[str, ...]]]) -> None:
        """Hand each event to the watchers of its prefixes; wake each reader once."""
        awake: dict[Watcher, None] = {}
        for event, prefixes in events:
            for prefix in prefixes:
                for watcher in tuple(self._watchers.get(prefix, ())):
                    if watcher.deliver(event, self._limit):
                        awake[watcher] = None
        for watcher in awake:
            watcher.wake()

    def close(self) -> None:
        """End every watch."""
        for watchers in list(self._watchers.values()):
            for watcher in list(watchers):
                watcher.end()
