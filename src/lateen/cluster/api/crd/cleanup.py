"""After a CustomResourceDefinition was deleted: its objects go first, then the finalizer that held it. One task of the server."""

from __future__ import annotations

import logging

from lateen.aio.clock import Clock
from lateen.cluster.api.bootstrap import server_call
from lateen.cluster.api.call import Backend
from lateen.cluster.api.crd.definition import FINALIZER, established
from lateen.cluster.api.verbs.delete import DeleteOptions, delete_key
from lateen.cluster.api.writing import change_object
from lateen.cluster.storage.seam import Watch
from lateen.errors import ApiError, CompactedError, NotFoundError, StorageError
from lateen.kube.meta import Object

log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


class CrdCleanup:
    """Watches definitions; empties and releases those that are being deleted."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend, self._clock = backend, clock
        self._served = backend.served("apiextensions.k8s.io", "v1", "customresourcedefinitions")

    async def run(self) -> None:
        """Until cancelled or the store closes."""
        while True:
            storage = self._backend.storage
            page = storage.list(self._served.prefix())
            watch = storage.watch(self._served.prefix(), after=page.revision)
            try:
                for record in page.records:
                    await self._look(record.obj)
                await self._follow(watch)
                return
            except CompactedError:
                log.info("the watch of definitions fell behind; starting over")
            finally:
                watch.close()

    async def _follow(self, watch: Watch) -> None:
        async for batch in watch:
            for event in batch:
                if event.type == "MODIFIED":
                    await self._look(event.record.obj)

    async def _look(self, crd: Object) -> None:
        meta = crd["metadata"]
        while meta.get("deletionTimestamp") and FINALIZER in (meta.get("finalizers") or ()):
            try:
                if await self._emptied(crd):
                    await self._release(meta["name"])
                    return
            except (ApiError, StorageError) as error:
                log.warning("cleaning up after %s: %s", meta["name"], error)
            await self._clock.sleep(_RETRY_SECONDS)

    async def _emptied(self, crd: Object) -> bool:
        """Delete every object; whether none is left (finalizers may hold some)."""
        spec = crd["spec"]
        version = next((v["name"] for v in spec["versions"] if v.get("served")), "")
        served = self._backend.registry.find(spec["group"], version, spec["names"]["plural"])
        if served is None or not established(crd):
            return True
        for record in self._backend.storage.list(served.prefix()).records:
            meta = record.obj["metadata"]
            call = server_call(served, "DELETE", meta.get("namespace", ""), meta["name"])
            try:
                await delete_key(self._backend, call, record.key, DeleteOptions())
            except NotFoundError:
                continue
        return self._backend.storage.count(served.prefix()) == 0

    async def _release(self, name: str) -> None:
        def change(old: Object) -> Object:
            kept = [f for f in old["metadata"].get("finalizers") or () if f != FINALIZER]
            return {**old, "metadata": {**old["metadata"], "finalizers": kept}}

        try:
            await change_object(self._backend, server_call(self._served, "PUT", "", name), change)
        except NotFoundError:
            return
