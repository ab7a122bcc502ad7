"""The part of a cluster that an apply looks at, kept current by watches: the applied objects, and what their health depends on.

Health rules see it through ``health.View``. Kinds that the user may not list are left out, and the rules know it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner, gather
from lateen.apply.health import Patience
from lateen.apply.refs import Ref
from lateen.client import Client
from lateen.client.informer import Informer, InformerSet
from lateen.errors import ApiError
from lateen.kube import resources
from lateen.kube.meta import Key, Object, controller_of, uid_of
from lateen.kube.resources import Resource

_AROUND = (resources.PODS, resources.REPLICASETS, resources.ENDPOINTSLICES, resources.EVENTS)
_TICK = 1.0  # ages grow without any event
_BY_OWNER, _BY_UID = "owner", "uid"


class World:
    """An async context manager: inside, ``changed`` is set after every change and every second."""

    def __init__(self, client: Client, *, clock: Clock, patience: Patience) -> None:
        self.client, self.clock, self.patience = client, clock, patience
        self.began = clock.now()
        self.changed = asyncio.Event()
        self.news: deque[Object] = deque()  # Kubernetes events, as they come; whoever reads them takes them
        self._owner = TaskOwner("apply")
        self._informers = InformerSet(client, clock)
        self._followed: dict[tuple[str, str, str], Informer] = {}

    async def __aenter__(self) -> World:
        self._informers.start(self._owner)
        self._owner.start(self._tick(), "tick")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._owner.close()

    async def follow(self, wanted: Iterable[tuple[Resource, str]]) -> None:
        """Watch these collections (resource, namespace), and around each namespace what health depends on. Returns when current."""
        missing = {(r.group, r.kind, ns): (r, ns) for r, ns in wanted}
        for namespace in {ns for _, ns in missing.values() if ns}:
            missing |= {(r.group, r.kind, namespace): (r, namespace) for r in _AROUND}
        if any(kind == "PersistentVolumeClaim" for _, kind, _ in missing):
            missing[(resources.STORAGECLASSES.group, "StorageClass", "")] = (resources.STORAGECLASSES, "")
        fresh = {k: v for k, v in missing.items() if k not in self._followed}
        allowed = await gather(self._allowed(r, ns) for r, ns in fresh.values())
        started = [self._start(r, ns) for (r, ns), yes in zip(fresh.values(), allowed, strict=True) if yes]
        await gather(informer.synced() for informer in started)

    async def _allowed(self, resource: Resource, namespace: str) -> bool:
        try:
            await self.client.list(resource, namespace, limit=1)
        except ApiError:
            return False
        return True

    def _start(self, resource: Resource, namespace: str) -> Informer:
        informer = self._informers.informer(resource, namespace=namespace)
        informer.add_index(_BY_OWNER, _owner_uid)
        informer.add_index(_BY_UID, lambda o: (uid_of(o),))
        informer.subscribe(lambda *_: self.changed.set())
        if resource is resources.EVENTS:
            informer.subscribe(lambda _, new: self.news.append(new) if new is not None else None)
        self._followed[(resource.group, resource.kind, namespace)] = informer
        return informer

    async def _tick(self) -> None:
        while True:
            await self.clock.sleep(_TICK)
            self.changed.set()

    def wake_at(self, moment: float) -> None:
        """Set ``changed`` at this time of the monotonic clock: deadlines pass without any event too."""
        self._owner.start(self._alarm(moment), "deadline")

    async def _alarm(self, moment: float) -> None:
        await self.clock.sleep(moment - self.clock.monotonic())
        self.changed.set()

    def follows(self, ref: Ref) -> bool:
        """Whether the object can be seen."""
        return (ref.group, ref.kind, ref.namespace) in self._followed

    def get(self, ref: Ref) -> Object | None:
        """The object as last seen."""
        informer = self._followed.get((ref.group, ref.kind, ref.namespace))
        return informer.get(Key(ref.namespace, ref.name)) if informer else None

    def by_uid(self, kind: str, namespace: str, uid: str) -> Object | None:
        """The object of a kind with a UID."""
        for informer in self._of(kind, namespace):
            if found := informer.by_index(_BY_UID, uid):
                return found[0]
        return None

    # health.View

    def now(self) -> datetime:
        """The clock's time."""
        return self.clock.now()

    def children(self, uid: str, kind: str) -> Sequence[Object]:
        """What the object with ``uid`` controls."""
        return [o for informer in self._of(kind) for o in informer.by_index(_BY_OWNER, uid)]

    def all(self, kind: str, namespace: str = "") -> Sequence[Object]:
        """Every watched object of a kind."""
        return [o for informer in self._of(kind, namespace) for o in informer.list()]

    def knows(self, kind: str) -> bool:
        """Whether the kind is watched."""
        return bool(self._of(kind))

    def _of(self, kind: str, namespace: str = "") -> list[Informer]:
        return [i for (_, k, ns), i in self._followed.items() if k == kind and namespace in ("", ns)]


def _owner_uid(obj: Object) -> tuple[str, ...]:
    found = controller_of(obj)
    return (found["uid"],) if found else ()
