"""Informers: a local, always current copy of one collection, kept by list and watch. The read side of every controller.

An informer survives dropped connections, a restarted API server and expired resource versions (410): it resumes its watch where it
stopped, and lists again only when it must. Handlers are told each difference exactly once, in order, synchronously.
Objects are shared with everybody: read, never change.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.aio.clock import Clock
from lateen.aio.retry import Backoff
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.seam import WatchEvent
from lateen.errors import ApiError, ExpiredError, TransportError
from lateen.kube.meta import Key, Object, key_of, meta, uid_of
from lateen.kube.resources import Resource

log = logging.getLogger(__name__)
Handler = Callable[[Object | None, Object | None], None]
IndexFunction = Callable[[Object], Iterable[str]]
_AGAIN = Backoff(first=0.05, most=5.0, jitter=0.5)
_PAGE = 2000
_TURN = 0.001  # seconds of handling events before others get a turn of the event loop
_STEADY = 1.0  # seconds: a watch that ends earlier without an event counts as a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an informer looks at: one namespace or all, narrowed by selectors."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""


class Informer:
    """One collection. ``run`` keeps it; ``synced`` returns after the first list was delivered to every handler."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        clock: Clock,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.resource = resource
        self.scope = Scope(namespace=namespace, label_selector=label_selector, field_selector=field_selector)
        self._client, self._clock, self._draw = client, clock, draw
        self._objects: dict[Key, Object] = {}
        self._handlers: list[Handler] = []
        self._indexers: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[Key, Object]]] = {}
        self._synced = asyncio.Event()
        self._version = ""
        self._ahead: dict[Key, int] = {}
        self._events = 0

    @property
    def resource_version(self) -> str:
        """Everything up to this resource version has been delivered."""
        return self._version

    @property
    def has_synced(self) -> bool:
        """Whether the first list was delivered."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Return once the first list was delivered."""
        await self._synced.wait()

    def get(self, key: Key) -> Object | None:
        """The object, None if there is none."""
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Sequence[Object]:
        """All objects (of a namespace), in no order."""
        if not namespace:
            return list(self._objects.values())
        return self.by_index("namespace", namespace) if "namespace" in self._indexers else self._scan(namespace)

    def _scan(self, namespace: str) -> Sequence[Object]:
        return [o for k, o in self._objects.items() if k.namespace == namespace]

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Index by the values that ``function`` gives for an object. Adding the same name again changes nothing."""
        if name in self._indexers:
            return
        self._indexers[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._index(name, key, obj)

    def by_index(self, name: str, value: str) -> Sequence[Object]:
        """The objects indexed under ``value``."""
        return list(self._indexes[name].get(value, {}).values())

    def count(self, name: str, value: str) -> int:
        """How many objects are indexed under ``value``."""
        return len(self._indexes[name].get(value, ()))

    def subscribe(self, handler: Handler) -> None:
        """Call ``handler(old, new)`` for every difference; at once for what is known (old None), None as new for a deletion."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    def wrote(self, obj: Object) -> None:
        """Show at once what this process just wrote (the server's answer), ahead of the watch: read your own writes.

        Nothing happens when the watch is past it already, or where resource versions are not numbers.
        """
        number = _number(obj)
        if self.has_synced and self.scope == Scope() and number > _digits(self._version):
            key = key_of(obj)
            if number > self._ahead.get(key, 0):
                self._ahead[key] = number
                self._put(obj)

    async def run(self) -> None:
        """List, watch, and do it again whenever it ends, until cancelled."""
        failures = 0
        while True:
            began, events = self._clock.monotonic(), self._events
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ExpiredError:
                self._version = ""
            except (ApiError, TransportError) as error:
                log.info("informer of %s: %s", self.resource.group_resource, error)
            if self._events > events or self._clock.monotonic() - began >= _STEADY:
                failures = 0
            else:
                await self._clock.sleep(_AGAIN.delay(failures, self._draw()))
                failures += 1

    async def _list(self) -> None:
        fresh: dict[Key, Object] = {}
        token = ""
        while True:
            page = await self._client.list(
                self.resource,
                self.scope.namespace,
                label_selector=self.scope.label_selector,
                field_selector=self.scope.field_selector,
                limit=_PAGE,
                continue_token=token,
            )
            fresh.update((key_of(o), o) for o in page.items)
            token = page.continue_token
            if not token:
                break
        self._replace(fresh, _digits(page.resource_version))
        self._version = page.resource_version
        self._synced.set()

    async def _watch(self) -> None:
        events = self._client.watch(
            self.resource,
            self.scope.namespace,
            resource_version=self._version,
            label_selector=self.scope.label_selector,
            field_selector=self.scope.field_selector,
        )
        turn = self._clock.monotonic()
        try:
            async for event in events:
                self._event(event)
                if self._clock.monotonic() - turn > _TURN:
                    await self._clock.sleep(0)
                    turn = self._clock.monotonic()
        finally:
            await events.aclose()  # type: ignore[attr-defined]

    def _event(self, event: WatchEvent) -> None:
        self._events += 1
        if event.type != "BOOKMARK" and not self._overtaken(event.object):
            if event.type == "DELETED":
                self._drop(key_of(event.object), event.object)
            else:
                self._put(event.object)
        self._version = meta(event.object).get("resourceVersion") or self._version

    def _overtaken(self, obj: Object) -> bool:
        """Whether ``wrote`` already showed something newer; once the watch has caught up, it alone counts again."""
        ahead = self._ahead.get(key_of(obj)) if self._ahead else None
        if ahead is None:
            return False
        number = _number(obj)
        if number >= ahead:
            del self._ahead[key_of(obj)]
        return number < ahead

    def _replace(self, fresh: Mapping[Key, Object], version: int) -> None:
        self._ahead = {k: n for k, n in self._ahead.items() if n > version}
        for key in [k for k in self._objects if k not in fresh and k not in self._ahead]:
            self._drop(key, self._objects[key])
        for key, obj in fresh.items():
            if key not in self._ahead:
                self._put(obj)

    def _put(self, obj: Object) -> None:
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None:
            if meta(old).get("resourceVersion") == meta(obj).get("resourceVersion"):
                return
            if uid_of(old) != uid_of(obj):
                self._drop(key, old)  # deleted and made again between two lists: two things happened
                old = None
            else:
                self._unindex(key, old)
        self._objects[key] = obj
        for name in self._indexers:
            self._index(name, key, obj)
        self._tell(old, obj)

    def _drop(self, key: Key, last: Object) -> None:
        old = self._objects.pop(key, None)
        if old is not None:
            self._unindex(key, old)
            self._tell(last, None)

    def _index(self, name: str, key: Key, obj: Object) -> None:
        for value in self._indexers[name](obj):
            self._indexes[name].setdefault(value, {})[key] = obj

    def _unindex(self, key: Key, obj: Object) -> None:
        for name, function in self._indexers.items():
            for value in function(obj):
                bucket = self._indexes[name].get(value)
                if bucket is not None:
                    bucket.pop(key, None)
                    if not bucket:
                        del self._indexes[name][value]

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                log.exception("a handler of %s failed", self.resource.group_resource)


def _digits(version: str) -> int:
    return int(version) if version.isdigit() else -1


def _number(obj: Object) -> int:
    return _digits(meta(obj).get("resourceVersion") or "")


class InformerSet:
    """One informer per resource and scope, shared by everybody who asks; started under one owner."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._informers: dict[tuple[Any, ...], Informer] = {}
        self._tasks: dict[Informer, asyncio.Task[None]] = {}
        self._owner: TaskOwner | None = None

    def informer(self, resource: Resource, *, namespace: str = "", label_selector: str = "", field_selector: str = "") -> Informer:
        """The shared informer; started at once if the set runs."""
        key = (resource.group, resource.version, resource.plural, namespace, label_selector, field_selector)
        found = self._informers.get(key)
        if found is None:
            found = self._informers[key] = Informer(
                self._client,
                resource,
                clock=self._clock,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
            )
            self._run(found)
        return found

    def wrote(self, resource: Resource, obj: Object) -> None:
        """``Informer.wrote`` of the resource's informer, if there is one. For ``Client(on_write=...)``."""
        found = self._informers.get((resource.group, resource.version, resource.plural, "", "", ""))
        if found is not None:
            found.wrote(obj)

    def drop(self, informer: Informer) -> None:
        """Stop and forget an informer, because its resource is gone. Its last objects stay with those who hold it."""
        self._informers = {k: i for k, i in self._informers.items() if i is not informer}
        if (task := self._tasks.pop(informer, None)) is not None:
            task.cancel()

    def start(self, owner: TaskOwner) -> None:
        """Run every informer, now and later, as tasks of ``owner``."""
        self._owner = owner
        for informer in self._informers.values():
            self._run(informer)

    def _run(self, informer: Informer) -> None:
        if self._owner is not None:
            self._tasks[informer] = self._owner.start(informer.run(), f"informer of {informer.resource.group_resource}")

    async def synced(self) -> None:
        """Return once every informer asked for so far delivered its first list."""
        for informer in list(self._informers.values()):
            await informer.synced()
