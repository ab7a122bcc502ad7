"""Deleting objects of an application in reverse order and seeing them go. Used by apply (pruning) and by delete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from lateen.aio.clock import Clock, SystemClock
from lateen.aio.tasks import gather
from lateen.apply import inventory, order
from lateen.apply.diff import Action, Verb
from lateen.apply.events import Applied, Listener, Report, ignore
from lateen.apply.health import Patience
from lateen.apply.inventory import Inventory
from lateen.apply.plan import PARALLEL
from lateen.apply.prune import Prune, Verdict, judge
from lateen.apply.refs import Ref
from lateen.apply.world import World
from lateen.client import Client
from lateen.client.discovery import Discovery
from lateen.errors import ApiError, DeadlineError, NotFoundError
from lateen.kube.meta import Object, controller_of, uid_of
from lateen.kube.resources import REPLICASETS, Resource

Found = dict[Ref, tuple[Resource, Object] | None]


class Remover:
    """Removes objects of one application."""

    def __init__(
        self, client: Client, kinds: Discovery, world: World, *, listener: Callable[[Applied], None], deadline: float
    ) -> None:
        self._client, self._kinds, self._world = client, kinds, world
        self._listener, self._deadline = listener, deadline

    async def prune(self, belongs: Inventory, candidates: Iterable[Ref], prune: Prune) -> tuple[Verdict, Inventory]:
        """Delete what may go of ``candidates``, wait until it is gone, and narrow the inventory. DeadlineError."""
        refs = list(candidates)
        if not refs:
            return Verdict(), belongs
        found = await self._find({r: belongs.entries[r] for r in refs})
        live = {r: f[1] if f else None for r, f in found.items()}
        verdict = judge(live, app=belongs.app, prune=prune, replica_sets=await self._versions(live))
        await self._delete(verdict.delete, found)
        left = belongs.with_entries({r: v for r, v in belongs.entries.items() if r not in {*verdict.delete, *verdict.forget}})
        if left != belongs:
            await self._store(left)
        return verdict, left

    async def _store(self, left: Inventory) -> None:
        try:
            await (inventory.write(self._client, left) if left.entries else inventory.remove(self._client, left))
        except NotFoundError:
            pass  # its namespace was deleted with everything in it

    async def _find(self, entries: Mapping[Ref, str]) -> Found:
        limit = asyncio.Semaphore(PARALLEL)

        async def one(ref: Ref, version: str) -> tuple[Resource, Object] | None:
            async with limit:
                resource = await self._kinds.find(version, ref.kind)
                try:
                    return (resource, await self._client.get(resource, ref.name, ref.namespace)) if resource else None
                except NotFoundError:
                    return None

        return dict(zip(entries, await gather(one(*e) for e in entries.items()), strict=True))

    async def _versions(self, live: Mapping[Ref, Object | None]) -> list[Object]:
        """The ReplicaSets that stay: those of workloads that are not removed themselves."""
        leaving = {uid_of(o) for o in live.values() if o is not None}
        namespaces = {r.namespace for r in live if r.kind in ("ConfigMap", "Secret")}
        lists = await gather(self._client.list(REPLICASETS, ns) for ns in namespaces)
        return [o for found in lists for o in found.items if (controller_of(o) or {}).get("uid") not in leaving]

    async def _delete(self, refs: Sequence[Ref], found: Found) -> None:
        present = {r: f for r in refs if (f := found[r]) is not None}
        for stage in reversed(order.stages(present)):
            await self._world.follow({(present[r][0], r.namespace) for r in stage})
            await gather(self._delete_one(r, *present[r]) for r in stage)
            await self._gone({r: uid_of(present[r][1]) for r in stage})

    async def _delete_one(self, ref: Ref, resource: Resource, obj: Object) -> None:
        # A workload is gone when its pods are; other kinds have nothing below them to wait for.
        propagation = "Foreground" if ref.kind in order.WORKLOADS else ""
        try:
            await self._client.delete(resource, ref.name, ref.namespace, propagation=propagation, uid=uid_of(obj))
        except NotFoundError:
            pass  # somebody was faster
        except ApiError as error:
            if error.code != 409:  # it is already another object of that name
                raise
        self._listener(Applied(action=Action(ref=ref, verb=Verb.delete)))

    async def _gone(self, uids: Mapping[Ref, str]) -> None:
        self._world.wake_at(self._deadline)
        while left := [r for r, uid in uids.items() if (o := self._world.get(r)) is not None and uid_of(o) == uid]:
            if self._world.clock.monotonic() >= self._deadline:
                names = ", ".join(str(r) for r in left)
                raise DeadlineError(f"still being deleted: {names}\n  look for finalizers and for pods that do not end")
            self._world.changed.clear()
            await self._world.changed.wait()


async def delete(
    client: Client,
    *,
    app: str,
    namespace: str,
    everything: bool = False,
    on_progress: Listener = ignore,
    timeout: float = 120.0,  # noqa: ASYNC109 - it is a result (DeadlineError names what is left), not a cancellation
    clock: Clock | None = None,
) -> Report:
    """Remove an application: its objects in reverse order, each seen to go. Volumes and namespaces stay unless ``everything``.

    InputError if there is no such application; DeadlineError if something does not go in ``timeout`` seconds.
    """
    clock = clock or SystemClock()
    began, kinds = clock.monotonic(), Discovery(client)
    belongs = await inventory.existing(client, app=app, namespace=namespace)
    done: list[Action] = []

    def tell(event: Applied) -> None:
        done.append(event.action)
        on_progress(event)

    async with World(client, clock=clock, patience=Patience()) as world:
        remover = Remover(client, kinds, world, listener=tell, deadline=began + timeout)
        verdict, _ = await remover.prune(belongs, belongs.entries, Prune.all if everything else Prune.safe)
    return Report(actions=tuple(done), health={}, kept=verdict.keep, seconds=clock.monotonic() - began)
