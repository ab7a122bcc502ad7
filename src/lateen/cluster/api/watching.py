"""Watch streams: storage events seen through a selector, with bookmarks, as shared objects or as shared bytes.

``verbs.watch`` opens them, ``server`` and ``https`` drain them, WatchStreams ticks them: bookmarks and timeouts come from one
task on the server's clock, not from a timer per stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import orjson

from lateen.aio.clock import Clock
from lateen.client.seam import WatchEvent
from lateen.cluster.api import statuses
from lateen.cluster.api.registry import Served
from lateen.cluster.storage.seam import Event, Record, Storage, Watch
from lateen.errors import ApiError, CompactedError
from lateen.kube.meta import Object

Matcher = Callable[[Object], bool]
BOOKMARK_SECONDS = 60.0
_SHARED_LINES = 2048


class Item(NamedTuple):
    """One event on its way out. ``record`` is set for stored objects, ``obj`` for made-up ones (bookmarks, errors, conversions)."""

    type: str
    record: Record | None
    obj: Object | None = None

    def object(self) -> Object:
        """The event's object: shared."""
        return self.record.obj if self.record is not None else self.obj or {}


class Lines:
    """The bytes of events, made once and shared by every stream."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], bytes] = {}

    def of(self, item: Item) -> bytes:
        """``{"type":...,"object":...}`` and a newline."""
        if item.record is None:
            return orjson.dumps({"type": item.type, "object": item.obj}) + b"\n"
        key = (item.type, item.record.revision)
        line = self._made.get(key)
        if line is None:
            line = b'{"type":"%s","object":%s}\n' % (item.type.encode(), item.record.raw)
            if len(self._made) >= _SHARED_LINES:
                self._made.pop(next(iter(self._made)))
            self._made[key] = line
        return line


def transition(event: Event, wanted: Matcher | None) -> Item | None:
    """What a client with a selector sees of an event: an object that stops to match is DELETED for it, one that starts to is
    ADDED."""
    if wanted is None:
        return Item(event.type, event.record)
    if event.type == "DELETED":
        return Item("DELETED", event.record) if wanted((event.previous or event.record).obj) else None
    before = event.previous is not None and wanted(event.previous.obj)
    now = wanted(event.record.obj)
    if now:
        return Item("MODIFIED" if before else "ADDED", event.record)
    return Item("DELETED", None, _last_seen(event)) if before else None


def _last_seen(event: Event) -> Object:
    """The state that matched last, with the revision of the event that ended it."""
    assert event.previous is not None
    old = event.previous.obj
    return {**old, "metadata": {**old["metadata"], "resourceVersion": str(event.record.revision)}}


Convert = Callable[[Sequence[Object]], Awaitable[list[Object]]]


class WatchStream:
    """One client's watch. Iterate ``batches`` (or ``events`` in process); closing it releases the storage watch."""

    def __init__(
        self,
        streams: WatchStreams,
        served: Served,
        *,
        storage: Storage,
        watch: Watch,
        first: Sequence[Item],
        wanted: Matcher | None,
        bookmarks: bool,
        seconds: float | None,
        convert: Convert,
    ) -> None:
        self._streams, self._served, self._storage, self._watch, self._wanted = streams, served, storage, watch, wanted
        self._first, self._bookmarks, self._convert = first, bookmarks, convert
        self.shape: Callable[[Item], Item] | None = None  # what the client's accepted form makes of each item
        self._waiting: asyncio.Timeout | None = None
        now = streams.clock.monotonic()
        self._deadline = None if seconds is None else now + seconds
        self._next_bookmark = now + BOOKMARK_SECONDS
        self._closed = False
        streams.add(self)

    async def batches(self) -> AsyncIterator[list[Item]]:
        """Lists of items, in order; ends at the timeout or with the server. Falling behind ends with an ERROR item (410)."""
        try:
            if self._first:
                yield await self._shaped(self._first)
                self._first = ()
            while not self._closed:
                try:
                    batch = await self._next()
                except StopAsyncIteration:
                    return
                except CompactedError:
                    yield [Item("ERROR", None, statuses.expired("The resourceVersion for the provided watch is too old.").status)]
                    return
                except ApiError as error:  # a conversion webhook failed
                    yield [Item("ERROR", None, dict(error.status))]
                    return
                if batch:
                    yield batch
                elif self._deadline is not None and self._streams.clock.monotonic() >= self._deadline:
                    return
        finally:
            self.close()

    async def _next(self) -> list[Item]:
        try:
            async with asyncio.timeout(None) as self._waiting:
                events = await anext(self._watch.__aiter__())
        except TimeoutError:
            return await self._due()
        finally:
            self._waiting = None
        wanted = self._wanted
        if wanted is None and self.shape is None and not self._served.converts:
            return [Item(e.type, e.record) for e in events]
        return await self._shaped(item for e in events if (item := transition(e, wanted)) is not None)

    async def _shaped(self, items: Iterable[Item]) -> list[Item]:
        found = list(items)
        if self._served.converts:
            changed = [i for i in found if i.type not in ("BOOKMARK", "ERROR")]
            forms = iter(await self._convert([i.object() for i in changed]))
            found = [i if i.type in ("BOOKMARK", "ERROR") else Item(i.type, None, next(forms)) for i in found]
        if self.shape is not None:
            found = [i if i.type == "ERROR" else self.shape(i) for i in found]
        return found

    async def _due(self) -> list[Item]:
        now = self._streams.clock.monotonic()
        if not self._bookmarks or now < self._next_bookmark:
            return []
        self._next_bookmark = now + BOOKMARK_SECONDS
        return await self._shaped([bookmark(self._served, self._storage.revision)])

    def tick(self, now: float) -> None:
        """Called each second: interrupt the wait when a bookmark or the timeout is due."""
        due = (self._bookmarks and now >= self._next_bookmark) or (self._deadline is not None and now >= self._deadline)
        if due and self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def events(self) -> AsyncIterator[WatchEvent]:
        """The stream for in-process callers: shared objects, nothing serialised."""
        async for batch in self.batches():
            for item in batch:
                yield WatchEvent(item.type, item.object())

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream for sockets: one chunk per batch, lines shared with every other stream."""
        line = self._streams.lines.of
        async for batch in self.batches():
            yield b"".join([line(i) for i in batch]) if len(batch) > 1 else line(batch[0])

    def close(self) -> None:
        """Release the watch. Idempotent."""
        if not self._closed:
            self._closed = True
            self._watch.close()
            self._streams.remove(self)


def bookmark(served: Served, revision: int, *, initial_end: bool = False) -> Item:
    """A BOOKMARK: nothing before ``revision`` is still to come."""
    meta: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return Item("BOOKMARK", None, {"kind": served.resource.kind, "apiVersion": served.resource.api_version, "metadata": meta})


class WatchStreams:
    """Every open stream, their shared lines, and their clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.lines = clock, Lines()
        self._open: dict[WatchStream, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, stream: WatchStream) -> None:
        """Tick it from now on."""
        self._open[stream] = None

    def remove(self, stream: WatchStream) -> None:
        """Forget it. Idempotent."""
        self._open.pop(stream, None)

    async def run(self) -> None:
        """Tick forever; the server's task."""
        while True:
            await self.clock.sleep(1.0)
            now = self.clock.monotonic()
            for stream in tuple(self._open):
                stream.tick(now)

    def close(self) -> None:
        """End every stream."""
        for stream in tuple(self._open):
            stream.close()
