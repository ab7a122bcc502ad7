"""A store without a disk: for tests and throw-away clusters. A write is durable at once, as long as the process lives."""

from __future__ import annotations

from lateen.cluster.storage.core import Core
from lateen.cluster.storage.seam import Record, Revision
from lateen.kube.meta import Object


class MemoryStorage(Core):
    """``seam.Storage`` in memory."""

    async def create(self, key: str, obj: Object) -> Record:
        return self._write("ADDED", key, obj, None)

    async def update(self, key: str, obj: Object, *, expect: Revision) -> Record:
        return self._write("MODIFIED", key, obj, expect)

    async def delete(self, key: str, *, expect: Revision, obj: Object | None = None) -> Record:
        return self._write("DELETED", key, obj, expect)

    async def compact(self, revision: Revision) -> None:
        self._history.forget(min(revision, self._revision))

    async def close(self) -> None:
        self._closed = True
        self._fanout.close()

    def _write(self, kind: str, key: str, obj: Object | None, expect: Revision | None) -> Record:
        event = self._accept(kind, key, obj, expect)
        self._publish((event,))
        return event.record
