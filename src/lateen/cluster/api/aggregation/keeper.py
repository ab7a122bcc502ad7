"""Keeps APIServices: one for each group version that is served here; of the remote ones whether they answer, and what they serve.

One task group of the API server; requests read what it found from ``Backend.remotes``."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import orjson

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner, outcomes, within
from lateen.client.seam import Request
from lateen.cluster.api.aggregation.ask import ask_of, connected
from lateen.cluster.api.aggregation.services import PASSED, Remote, available, name_of, wanted_local, with_condition
from lateen.cluster.api.aggregation.table import Described
from lateen.cluster.api.bootstrap import ensure, server_call
from lateen.cluster.api.call import Backend
from lateen.cluster.api.outward.targets import UnreachableError, endpoints
from lateen.cluster.api.streaming.http import exchange
from lateen.cluster.api.user import SERVER
from lateen.cluster.api.verbs.delete import DeleteOptions, delete_key
from lateen.cluster.api.writing import change_object
from lateen.errors import ApiError, CompactedError, LateenError, NotFoundError, StorageError
from lateen.kube.meta import Object

log = logging.getLogger(__name__)
_LOOK_EVERY = 0.1  # seconds, while there are remote ones: has a Service or an endpoint changed?
_ASK_EVERY = {True: 30.0, False: 1.0}  # who answered, who did not
_ANSWER_WITHIN = 5.0


class Keeper:
    """``wake`` lets it look at once."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend, self._clock = backend, clock
        self._served = backend.served("apiregistration.k8s.io", "v1", "apiservices")
        self._wake = asyncio.Event()
        self._asked: dict[tuple[str, str], tuple[float, tuple[int, int], Remote]] = {}
        self._generation = -1

    def wake(self) -> None:
        """Look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled or the store closes."""
        async with TaskOwner("api services") as owner:
            owner.start(self._follow(), "follow")
            owner.start(self._tick(), "tick")
            while True:
                self._wake.clear()
                try:
                    await self._settle_local()
                    await outcomes([self._look(r) for r in list(self._backend.remotes.by_key.values())])
                except (ApiError, StorageError) as error:
                    log.warning("keeping APIServices: %s", error)
                await self._wake.wait()

    async def _follow(self) -> None:
        """Every change of an APIService is worth a look."""
        while True:
            storage = self._backend.storage
            watch = storage.watch(self._served.prefix(), after=storage.list(self._served.prefix()).revision)
            try:
                async for _ in watch:
                    self.wake()
                return
            except CompactedError:
                self.wake()
            finally:
                watch.close()

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_EVERY)
            if self._backend.remotes.by_key or self._generation != self._backend.registry.generation:
                self.wake()

    async def _settle_local(self) -> None:
        registry = self._backend.registry
        if self._generation == registry.generation and self._all_there():
            return
        self._generation = registry.generation
        group_versions = {(s.resource.group, s.resource.version): s.custom for s in registry}
        stored = [r.obj for r in self._backend.storage.list(self._served.prefix()).records]
        missing, gone = wanted_local(((g, v, custom) for (g, v), custom in sorted(group_versions.items())), stored)
        await outcomes([ensure(self._backend, self._served, obj) for obj in missing])
        await outcomes([self._drop(name) for name in gone])

    def _all_there(self) -> bool:
        """Whether nobody deleted one: it comes back."""
        names = {name_of(s.resource.group, s.resource.version) for s in self._backend.registry}
        return all(self._backend.storage.get(self._served.key("", name)) is not None for name in names)

    async def _drop(self, name: str) -> None:
        call = server_call(self._served, "DELETE", "", name)
        try:
            await delete_key(self._backend, call, call.key, DeleteOptions())
        except NotFoundError:
            return

    # the remote ones

    async def _look(self, remote: Remote) -> None:
        key, now = (remote.group, remote.version), self._clock.monotonic()
        asked, seen, before = self._asked.get(key, (0.0, (-1, -1), None))
        state = self._world()
        if before == remote and seen == state and now - asked < _ASK_EVERY[remote.available]:
            return
        try:
            endpoints(self._backend, remote.target)
            described = await within(_ANSWER_WITHIN, self._described(remote))
        except UnreachableError as error:
            found = available(error.reason, str(error), yes=False)
        except (OSError, ValueError, EOFError, LateenError) as error:
            why = f"failing or missing response from {self._url(remote)}: {str(error) or type(error).__name__}"
            found = available("FailedDiscoveryCheck", why, yes=False)
        else:
            found = PASSED
            if self._backend.remotes.described.get(key) != described:
                self._backend.remotes.described[key] = described
                self._backend.registry.touch()
        self._asked[key] = (now, state, replace(remote, available=found["status"] == "True"))
        await self._tell(remote, found)

    def _world(self) -> tuple[int, int]:
        """What endpoints depend on: it stands still while nothing of that changed."""
        storage = self._backend.storage
        services = self._backend.served("", "v1", "services").prefix()
        slices = self._backend.served("discovery.k8s.io", "v1", "endpointslices").prefix()
        return storage.changed(services), storage.changed(slices)

    def _url(self, remote: Remote) -> str:
        service = self._backend.get("", "v1", "services", remote.target.namespace, remote.target.name) or {}
        host = (service.get("spec") or {}).get("clusterIP") or remote.target.host
        return f"https://{host}:{remote.target.port}/apis/{remote.group_version}"

    async def _described(self, remote: Remote) -> Described:
        """What it serves, by legacy discovery: every extension API server speaks that."""
        status, resources = await self._get(remote, f"/apis/{remote.group_version}")
        if status >= 300 or not isinstance(resources, dict):
            raise OSError(f"bad status from {self._url(remote)}: {status}")
        status, index = await self._get(remote, "/openapi/v3")
        paths = (index.get("paths") or {}) if status == 200 and isinstance(index, dict) else {}
        url = str((paths.get(f"apis/{remote.group_version}") or {}).get("serverRelativeURL") or "")
        return Described(resources, url.partition("hash=")[2] or ("0" if url else ""))

    async def _get(self, remote: Remote, path: str) -> tuple[int, object]:
        reader, writer = await connected(self._backend, remote)
        try:
            found = await exchange(reader, writer, ask_of(Request(method="GET", path=path), SERVER, remote))
            raw = b"".join([part async for part in found.body])
        finally:
            writer.close()
        return found.status, orjson.loads(raw) if "json" in found.headers.get("content-type", "") else None

    async def _tell(self, remote: Remote, new: dict[str, str]) -> None:
        now = self._backend.clock.now()

        def change(old: Object) -> Object:
            spec = old.get("spec") or {}
            same = (spec.get("service") or {}).get("name") == remote.target.name
            return with_condition(old, new, now) if same else old

        call = server_call(self._served, "PUT", "", name_of(remote.group, remote.version), subresource="status")
        try:
            await change_object(self._backend, call, change)
        except NotFoundError:
            return
