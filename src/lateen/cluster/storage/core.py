"""What every store shares: current records, their order, history, watches, and the checks of a write.

``memory`` and ``sqlite`` derive from Core and add how an accepted write becomes durable. Everything runs on the event
loop's thread and never blocks it. A write has two moments: *accepted* (checked against the newest accepted state, given its
revision) and *published* (seen by reads and watches). Between them it is pending.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence

import orjson

from lateen.cluster.storage.fanout import Fanout, Watcher
from lateen.cluster.storage.history import History, Window
from lateen.cluster.storage.seam import Event, Page, Record, Revision
from lateen.errors import CompactedError, KeyExistsError, KeyMissingError, RevisionConflictError, StorageError
from lateen.kube.meta import Object

EMPTY = Revision(1)
WATCH_BUFFER = 10_000
_KEPT_LISTS = 32


def prefixes_of(key: str) -> tuple[str, ...]:
    """Every prefix ``key`` lies under: '', 'core/', 'core/pods/', 'core/pods/default/'."""
    found = [""]
    at = key.find("/")
    while at >= 0:
        found.append(key[: at + 1])
        at = key.find("/", at + 1)
    return tuple(found)


def _collection(prefix: str) -> str:
    """``core/pods/`` for anything at or below it, '' for a shorter prefix."""
    second = prefix.find("/", prefix.find("/") + 1)
    return prefix[: second + 1]


def _after(prefix: str) -> str:
    """The first key beyond everything under ``prefix`` ('0' follows '/')."""
    return prefix[:-1] + "0"


class Core:
    """The visible state, the pending state, and the reads of ``seam.Storage``."""

    def __init__(self, *, window: Window | None = None, watch_buffer: int = WATCH_BUFFER, revision: Revision = EMPTY) -> None:
        self._revision = self._accepted = revision
        self._records: dict[str, Record] = {}
        self._keys: dict[str, list[str]] = {}  # collection -> its keys, sorted
        self._changed: dict[str, Revision] = {}
        self._unchanged_since = revision
        self._history = History(window or Window(), revision)
        self._fanout = Fanout(watch_buffer)
        self._lists: dict[str, tuple[Revision, tuple[Record, ...]]] = {}
        self._pending: dict[str, Event] = {}
        self._closed = False
        self.trouble = ""

    # reads

    @property
    def revision(self) -> Revision:
        return self._revision

    def get(self, key: str) -> Record | None:
        return self._records.get(key)

    def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: Revision | None = None) -> Page:
        at = self._revision if revision is None else revision
        self._check_known(at)
        if self.changed(prefix) <= at:
            keys, records = self._slice(prefix, start), self._records
            if not start and (not limit or len(keys) <= limit):
                return Page(self._whole(prefix, keys), at)
        else:
            keys, records = self._past(prefix, start, at)
        if not limit or len(keys) <= limit:
            return Page([records[k] for k in keys], at)
        return Page([records[k] for k in keys[:limit]], at, next_key=keys[limit], remaining=len(keys) - limit)

    def _whole(self, prefix: str, keys: Sequence[str]) -> Sequence[Record]:
        """All current records under ``prefix``: the list is kept while nothing under it changes."""
        changed, kept = self.changed(prefix), self._lists.get(prefix)
        if kept is None or kept[0] != changed:
            if len(self._lists) >= _KEPT_LISTS:
                del self._lists[next(iter(self._lists))]
            kept = self._lists[prefix] = (changed, tuple([self._records[k] for k in keys]))
        return kept[1]

    def count(self, prefix: str) -> int:
        collection = _collection(prefix)
        if collection == prefix != "":
            return len(self._keys.get(prefix, ()))
        return len(self._slice(prefix, ""))

    def changed(self, prefix: str) -> Revision:
        return self._changed.get(prefix, self._unchanged_since)

    def watch(self, prefix: str, *, after: Revision) -> Watcher:
        if self._closed:
            raise StorageError("the store is closed")
        self._check_known(after)
        replay = [e for e in self._history.since(after) if e.record.key.startswith(prefix)]
        return self._fanout.add(prefix, replay)

    def _check_known(self, revision: Revision) -> None:
        if revision > self._revision:
            raise ValueError(f"revision {revision} lies in the future; the newest is {self._revision}")
        if revision < self._history.floor:
            raise CompactedError(f"revision {revision} has been compacted; the oldest known is {self._history.floor}")

    def _slice(self, prefix: str, start: str) -> Sequence[str]:
        collection = _collection(prefix)
        if not collection:
            return [k for c in sorted(self._keys) if c.startswith(prefix) for k in self._keys[c] if k >= start]
        keys = self._keys.get(collection, [])
        if prefix == collection and not start:
            return keys
        low = bisect_left(keys, max(prefix, start))
        return keys[low : bisect_left(keys, _after(prefix))]

    def _past(self, prefix: str, start: str, revision: Revision) -> tuple[Sequence[str], dict[str, Record]]:
        """Keys and records as they were: undo what happened since, by each key's first event."""
        records = {k: self._records[k] for k in self._slice(prefix, start)}
        for event in reversed(self._history.since(revision)):
            key = event.record.key
            if not key.startswith(prefix) or key < start:
                continue
            if event.previous is None:
                records.pop(key, None)
            else:
                records[key] = event.previous
        return sorted(records), records

    def slim(self) -> None:
        for record in self._records.values():
            record.slim()

    # writes

    def _accept(self, kind: str, key: str, obj: Object | None, expect: Revision | None) -> Event:
        """Check the write against the newest accepted state and give it its revision. Nothing is changed when it raises."""
        if self._closed:
            raise StorageError("the store is closed")
        current = self._newest(key)
        if expect is None:
            if current is not None:
                raise KeyExistsError(key)
        elif current is None:
            raise KeyMissingError(key)
        elif current.revision != expect:
            raise RevisionConflictError(f"{key} is at revision {current.revision}, not {expect}")
        revision = Revision(self._accepted + 1)
        event = Event(kind, _stamp(key, obj if obj is not None else _copy(current), revision), current)
        self._accepted = revision
        self._pending[key] = event
        return event

    def _newest(self, key: str) -> Record | None:
        pending = self._pending.get(key)
        if pending is None:
            return self._records.get(key)
        return None if pending.type == "DELETED" else pending.record

    def _reject_pending(self) -> None:
        """Roll the accepted state back to the visible one."""
        self._pending.clear()
        self._accepted = self._revision

    def _publish(self, events: Iterable[Event]) -> None:
        """Make accepted writes visible, in order."""
        delivery = []
        for event in events:
            key = event.record.key
            if self._pending.get(key) is event:
                del self._pending[key]
            prefixes = prefixes_of(key)
            self._apply(event, prefixes)
            delivery.append((event, prefixes))
        self._fanout.deliver(delivery)

    def _apply(self, event: Event, prefixes: tuple[str, ...]) -> None:
        record = event.record
        if event.type == "MODIFIED":
            self._records[record.key] = record
        elif event.type == "ADDED":
            self._records[record.key] = record
            insort(self._keys.setdefault(_collection(prefixes[-1]), []), record.key)
        else:
            del self._records[record.key]
            keys = self._keys[_collection(prefixes[-1])]
            del keys[bisect_left(keys, record.key)]
        for prefix in prefixes:
            self._changed[prefix] = record.revision
        self._history.append(event)
        self._revision = record.revision

    def _load(self, records: Iterator[Record], revision: Revision) -> None:
        """Take a whole state at ``revision`` (at boot, before any event)."""
        for record in records:
            self._records[record.key] = record
            self._keys.setdefault(_collection(prefixes_of(record.key)[-1]), []).append(record.key)
        for keys in self._keys.values():
            keys.sort()
        self._revision = self._accepted = self._unchanged_since = self._history.floor = revision


def _copy(record: Record | None) -> Object:
    assert record is not None
    return {**record.obj, "metadata": dict(record.obj["metadata"])}


def _stamp(key: str, obj: Object, revision: Revision) -> Record:
    obj.setdefault("metadata", {})["resourceVersion"] = str(revision)
    return Record(key, revision, orjson.dumps(obj), obj)
