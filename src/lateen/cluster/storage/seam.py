"""The storage seam. Used by cluster.api and cluster.boot only.

The law. The revision is the only clock: every write gets the next one; nothing else moves it. A write is visible to reads,
lists and watches only once it is durable, and is acknowledged only then. Watches see every event in order, without gaps
or repeats. A watcher that does not keep up is cut off with CompactedError and never slows a writer. Records are shared
and never mutated; their bytes are serialised once.

Keys are ``<collection>/<namespace>/<name>`` (or ``<collection>/<name>``), where a collection is ``<group>/<plural>``
(``core/pods``, ``apps/deployments``). A prefix always ends with ``/``. Order is by key, bytewise.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

import orjson

from lateen.kube.meta import Object

Revision = NewType("Revision", int)
_UNSHARED = 2  # the record's own reference and the argument's


class Record:
    """One version of one object. ``raw`` is its JSON with ``metadata.resourceVersion`` == ``revision``; ``obj`` is it decoded.

    ``obj`` is decoded on first use. The store drops decoded forms that nobody else holds once they are some events old: many
    objects are only ever read as bytes, decoded JSON weighs ten times its text, and the garbage collector walks all of it.
    """

    __slots__ = ("_obj", "key", "raw", "revision")

    def __init__(self, key: str, revision: Revision, raw: bytes, obj: Object | None = None) -> None:
        self.key, self.revision, self.raw, self._obj = key, revision, raw, obj

    @property
    def obj(self) -> Object:
        """The decoded object: shared, never change it."""
        found = self._obj
        if found is None:
            found = self._obj = orjson.loads(self.raw)
        return found

    def slim(self) -> None:
        """Drop the decoded form unless somebody shares it (an informer's cache: it costs nothing then). It comes back on demand."""
        if sys.getrefcount(self._obj) <= _UNSHARED:
            self._obj = None

    def __repr__(self) -> str:
        return f"Record({self.key!r}, {self.revision})"


@dataclass(frozen=True, slots=True)
class Event:
    """One write. ``type`` is ADDED, MODIFIED or DELETED; ``record`` is the state after it (for DELETED: the last state, stamped
    with the delete's revision); ``previous`` the state before it (None for ADDED)."""

    type: str
    record: Record
    previous: Record | None


@dataclass(frozen=True, slots=True)
class Page:
    """Records in key order at ``revision``. ``remaining`` counts what lies beyond; ``next_key`` is where the next page starts."""

    records: Sequence[Record]
    revision: Revision
    next_key: str = ""
    remaining: int = 0


class Watch(Protocol):
    """Batches of events in order. Closing it is the reader's duty (``async with`` or ``close``)."""

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        """Yields non-empty batches; raises CompactedError when this watcher fell behind. Ends when the store is closed."""
        ...

    def close(self) -> None: ...


class Storage(Protocol):
    """A revisioned store. Reads are synchronous and never block; writes return when durable."""

    trouble: str
    """Why the last write was refused by the disk; '' when it was not."""

    @property
    def revision(self) -> Revision:
        """The revision of the newest visible write (1 for an empty store)."""
        ...

    def get(self, key: str) -> Record | None:
        """The newest visible record."""
        ...

    def list(self, prefix: str, *, limit: int = 0, start: str = "", revision: Revision | None = None) -> Page:
        """Records under ``prefix`` from key ``start`` on, as of ``revision`` (default: newest). CompactedError if that is gone,
        ValueError if it lies in the future."""
        ...

    def count(self, prefix: str) -> int:
        """How many records lie under ``prefix``."""
        ...

    def changed(self, prefix: str) -> Revision:
        """The newest revision that changed anything under ``prefix``: a cache of a list is valid while this stands still."""
        ...

    def slim(self) -> None:
        """Drop the decoded forms of current records that nobody shares: what a list decoded stays decoded until then."""
        ...

    async def create(self, key: str, obj: Object) -> Record:
        """Store a new object. Takes ownership of ``obj`` and stamps its resourceVersion. KeyExistsError if the key is taken.
        A write is decided, and gets its revision, when its coroutine first runs; a later cancellation of the caller does not
        undo it. StorageError when the disk refuses."""
        ...

    async def update(self, key: str, obj: Object, *, expect: Revision) -> Record:
        """Replace the record whose revision is ``expect``. Takes ownership of ``obj``. RevisionConflictError, KeyMissingError."""
        ...

    async def delete(self, key: str, *, expect: Revision, obj: Object | None = None) -> Record:
        """Remove the record whose revision is ``expect``; the DELETED event carries ``obj`` (default: the last state)."""
        ...

    def watch(self, prefix: str, *, after: Revision) -> Watch:
        """Events with revision > ``after``. CompactedError if those are no longer all known, ValueError if ``after`` lies in the
        future."""
        ...

    async def compact(self, revision: Revision) -> None:
        """Forget history up to ``revision``; current records stay."""
        ...

    async def close(self) -> None:
        """Finish accepted writes, end watches, release files. Idempotent."""
        ...
