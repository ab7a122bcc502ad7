"""The durable store: Core in memory, every write in a SQLite log before anybody sees it. Opened by cluster.boot.

Group commit: writes accepted while a batch is on its way to the disk form the next batch. One thread owns the file; the event
loop hands it a batch and is called back when the batch is durable, then publishes it in order and answers the writers. At
most one batch is in flight, so a failed one rolls back it and everything accepted after it, and the store goes on.

Memory: current objects are held as bytes and decoded on first use. Whoever boots a daemon may ``gc.freeze()`` after opening: what
was loaded lives long, and the collector's oldest generation need not walk it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, Self

from lateen.cluster.storage.core import WATCH_BUFFER, Core, prefixes_of
from lateen.cluster.storage.history import Window
from lateen.cluster.storage.log import Log, Row
from lateen.cluster.storage.seam import Event, Record, Revision
from lateen.errors import StorageError
from lateen.kube.meta import Object

log = logging.getLogger(__name__)


class _Write(NamedTuple):
    event: Event
    done: asyncio.Future[Record]


class _Compact(NamedTuple):
    floor: Revision
    done: asyncio.Future[None]


class SqliteStorage(Core):
    """``seam.Storage`` on a file. Open it with :meth:`open`; use it from one event loop."""

    def __init__(self, file: Log, *, window: Window, watch_buffer: int) -> None:
        super().__init__(window=window, watch_buffer=watch_buffer)
        self._log = file
        self._waiting: list[_Write] = []
        self._writing = self._handover_due = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._jobs: SimpleQueue[list[_Write] | _Compact | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="storage-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def open(cls, path: Path, *, window: Window | None = None, watch_buffer: int = WATCH_BUFFER) -> Self:
        """Open or create the store at ``path``. StorageError if it is in use, damaged or of another format."""
        file = Log(path)
        try:
            store = cls(file, window=window or Window(), watch_buffer=watch_buffer)
            store._replay(file.rows(), Revision(file.compacted))
        except BaseException:
            file.close()
            raise
        store._thread.start()
        return store

    async def create(self, key: str, obj: Object) -> Record:
        return await self._write("ADDED", key, obj, None)

    async def update(self, key: str, obj: Object, *, expect: Revision) -> Record:
        return await self._write("MODIFIED", key, obj, expect)

    async def delete(self, key: str, *, expect: Revision, obj: Object | None = None) -> Record:
        return await self._write("DELETED", key, obj, expect)

    async def compact(self, revision: Revision) -> None:
        if self._closed:
            raise StorageError("the store is closed")
        self._history.forget(min(revision, self._revision))
        done: asyncio.Future[None] = self._running_loop().create_future()
        self._jobs.put(_Compact(self._history.floor, done))
        await done

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._idle.wait()
            self._fanout.close()
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    # boot

    def _replay(self, rows: Iterable[Row], compacted: Revision) -> None:
        """The state at ``compacted``, then every event since (the history keeps what its window holds)."""
        state: dict[str, Record] = {}
        remaining = iter(rows)
        first: Row | None = None
        for row in remaining:
            if row.revision > compacted:
                first = row
                break
            state[row.key] = Record(row.key, Revision(row.revision), row.raw)
        self._load(iter(state.values()), compacted)
        while first is not None:
            record = Record(first.key, Revision(first.revision), first.raw)
            self._apply(Event(first.type, record, self._records.get(first.key)), prefixes_of(first.key))
            first = next(remaining, None)
        self._accepted = self._revision

    # on the event loop

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _write(self, kind: str, key: str, obj: Object | None, expect: Revision | None) -> asyncio.Future[Record]:
        event = self._accept(kind, key, obj, expect)
        loop = self._running_loop()
        done: asyncio.Future[Record] = loop.create_future()
        self._waiting.append(_Write(event, done))
        if not self._writing and not self._handover_due:
            self._handover_due = True
            self._idle.clear()
            loop.call_soon(self._hand_over)  # after this turn, so that all its writes share a batch
        return done

    def _hand_over(self) -> None:
        self._handover_due = False
        self._writing = bool(self._waiting)
        if self._waiting:
            batch, self._waiting = self._waiting, []
            self._jobs.put(batch)
        else:
            self._idle.set()

    def _written(self, batch: list[_Write], error: StorageError | None) -> None:
        self.trouble = str(error or "")
        if error is not None:
            batch, self._waiting = batch + self._waiting, []
            self._reject_pending()
            self._hand_over()
            _answer(batch, error)
            return
        self._hand_over()
        self._publish([write.event for write in batch])
        _answer(batch, None)

    # on the writer thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, _Compact):
                self._attempt_compact(job)
            else:
                self._attempt_append(job)
        try:
            self._log.close()
        except StorageError as error:
            log.warning("closing the store: %s", error)

    def _attempt_append(self, batch: list[_Write]) -> None:
        failure: StorageError | None = None
        try:
            self._log.append([_row(write.event) for write in batch])
        except StorageError as error:
            failure = error
        self._call(self._written, batch, failure)
        self._tidy()

    def _attempt_compact(self, job: _Compact) -> None:
        try:
            while self._log.compact(job.floor):
                pass
            self._log.shrink()
        except StorageError as error:
            self._call(_fail, job.done, error)
        else:
            self._call(_finish, job.done)

    def _tidy(self) -> None:
        """A bounded step of housekeeping: the file follows what the history has dropped."""
        floor = self._history.floor
        if floor - self._log.compacted < _TIDY_AFTER:
            return
        try:
            self._log.compact(floor)
            self._log.shrink()
        except StorageError as error:
            log.warning("compaction put off: %s", error)

    def _call(self, function: object, *args: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]
        except RuntimeError:  # the loop was closed without closing the store: nobody is left to tell
            log.warning("the event loop closed before the store")


_TIDY_AFTER = 500


def _row(event: Event) -> Row:
    record, previous = event.record, event.previous
    return Row(record.revision, event.type, record.key, previous.revision if previous else 0, record.raw)


def _answer(batch: list[_Write], error: StorageError | None) -> None:
    for event, done in batch:
        if done.done():
            continue
        if error is None:
            done.set_result(event.record)
        else:
            done.set_exception(StorageError(str(error)))


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _fail(done: asyncio.Future[None], error: StorageError) -> None:
    if not done.done():
        done.set_exception(error)
