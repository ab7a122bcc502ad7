"""The state of an application: the health of everything in its inventory, once or with every change. Reads only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from lateen.aio.clock import Clock, SystemClock
from lateen.apply import inventory
from lateen.apply.health import Health, Patience, assess
from lateen.apply.inventory import Inventory
from lateen.apply.refs import Ref
from lateen.apply.world import World
from lateen.client import Client
from lateen.client.discovery import Discovery
from lateen.kube.meta import Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """An application now: the health of each object, and the object (None: it is missing)."""

    app: str
    namespace: str
    health: Mapping[Ref, Health]
    objects: Mapping[Ref, Object | None]

    @property
    def ok(self) -> bool:
        """Whether everything is healthy."""
        return all(h.ok for h in self.health.values())


async def status(client: Client, *, app: str, namespace: str, clock: Clock | None = None) -> Status:
    """The application's state now. InputError if there is no such application."""
    async with aclosing(follow(client, app=app, namespace=namespace, clock=clock)) as states:
        return await anext(states)


async def follow(client: Client, *, app: str, namespace: str, clock: Clock | None = None) -> AsyncGenerator[Status]:
    """The application's state now, and again after every change of it, until closed."""
    belongs = await inventory.existing(client, app=app, namespace=namespace)
    kinds = Discovery(client)
    resources = {r: await kinds.find(v, r.kind) for r, v in belongs.entries.items()}
    async with World(client, clock=clock or SystemClock(), patience=Patience()) as world:
        await world.follow({(found, r.namespace) for r, found in resources.items() if found is not None})
        before: Status | None = None
        while True:
            world.changed.clear()
            found = _status(world, belongs)
            if found != before:
                before = found
                yield found
            await world.changed.wait()


def _status(world: World, belongs: Inventory) -> Status:
    objects = {r: world.get(r) for r in belongs.entries}
    health = {r: assess(o, world) for r, o in objects.items()}
    return Status(app=belongs.app, namespace=belongs.namespace, health=health, objects=objects)
