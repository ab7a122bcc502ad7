"""The last events in order, bounded by count and by bytes: what watches resume from and old lists are rebuilt from.

Used by ``core`` only. Revisions are gap-free, so an event's place follows from its revision.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from lateen.cluster.storage.seam import Event, Revision
from lateen.errors import CompactedError

# Decoded forms that nobody shares are kept for this many events: watchers that are about to read still want them.
_DECODED_EVENTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How much history is kept. Whichever bound is met first drops the oldest events."""

    events: int = 10_000
    bytes: int = 8 << 20


class History:
    """Events with revision > ``floor``, up to the newest."""

    def __init__(self, window: Window, floor: Revision) -> None:
        self.floor = floor
        self._window, self._bytes = window, 0
        self._events: deque[Event] = deque()

    def append(self, event: Event) -> None:
        """Add the next event; drop what no longer fits."""
        events, window = self._events, self._window
        events.append(event)
        self._bytes += len(event.record.raw)
        if len(events) > _DECODED_EVENTS:
            _slim(events[-_DECODED_EVENTS - 1])
        while len(events) > window.events or (self._bytes > window.bytes and len(events) > 1):
            self._drop()

    def since(self, revision: Revision) -> list[Event]:
        """Every event after ``revision``, in order. CompactedError if some are gone."""
        if revision < self.floor:
            raise CompactedError(f"revision {revision} has been compacted; the oldest known is {self.floor}")
        newest = self._events[-1].record.revision if self._events else self.floor
        found = list(islice(reversed(self._events), max(0, newest - revision)))
        found.reverse()
        return found

    def forget(self, revision: Revision) -> None:
        """Drop every event up to ``revision``."""
        while self._events and self._events[0].record.revision <= revision:
            self._drop()
        self.floor = max(self.floor, revision)

    def _drop(self) -> None:
        event = self._events.popleft()
        self._bytes -= len(event.record.raw)
        self.floor = event.record.revision
        _slim(event)


def _slim(event: Event) -> None:
    event.record.slim()
    if event.previous is not None:
        event.previous.slim()
