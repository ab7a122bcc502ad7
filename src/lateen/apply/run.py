"""Plan and apply: a thin shell that reads, decides with pure functions, and writes.

An apply reads every object and asks for dry runs first, so that a refusal leaves everything as it was; widens the inventory;
applies in stages; waits for health; prunes last, when the new state is known to work. A second run writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from lateen.aio.clock import Clock, SystemClock
from lateen.aio.tasks import gather
from lateen.apply import inventory, order
from lateen.apply.diagnose import diagnose
from lateen.apply.diff import Action, Verb
from lateen.apply.events import Applied, Failure, Listener, Planned, Report, ignore
from lateen.apply.health import Patience
from lateen.apply.manifest import Manifest, manifests
from lateen.apply.plan import PARALLEL, Plan, Wanted, decide, prepare
from lateen.apply.prune import Prune
from lateen.apply.refs import Ref
from lateen.apply.refusals import explain
from lateen.apply.removal import Remover
from lateen.apply.wait import UnhealthyError, Watcher
from lateen.apply.world import World
from lateen.client import Client
from lateen.client.discovery import Discovery
from lateen.errors import ApiError, InputError, LateenError
from lateen.kube.meta import Object
from lateen.kube.resources import CRDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to apply. ``timeout`` is in seconds, for everything together; ``force`` takes fields that other managers own."""

    wait: bool = True
    prune: Prune = Prune.safe
    force: bool = False
    timeout: float = 300.0
    patience: Patience = field(default_factory=Patience)


async def plan(
    client: Client, objects: Sequence[Object | Manifest], *, app: str = "", namespace: str = "default", force: bool = False
) -> Plan:
    """What ``apply`` would do; writes nothing. ExceptionGroup of InputErrors and FailedErrors for what the server refuses."""
    return await _plan(client, Discovery(client), objects, app=app, namespace=namespace, force=force)


async def _plan(
    client: Client, kinds: Discovery, objects: Sequence[Object | Manifest], *, app: str, namespace: str, force: bool
) -> Plan:
    if not objects:
        raise InputError("there is nothing to apply", hint="to remove an application, use lateen down")
    given = [m for o in objects for m in ([o] if isinstance(o, Manifest) else manifests([o]))]
    wanted = await prepare(kinds, given, namespace=namespace, app=app)
    order.dependencies({r: w.object for r, w in wanted.items()})
    belongs = await inventory.read(client, app=app, namespace=namespace) if app else None
    actions, live = await decide(client, wanted, force=force)
    gone = tuple(r for r in belongs.entries if r not in wanted) if belongs else ()
    return Plan(wanted=wanted, actions=actions, live=live, prune=gone, inventory=belongs)


async def apply(
    client: Client,
    objects: Sequence[Object | Manifest],
    *,
    app: str = "",
    namespace: str = "default",
    on_progress: Listener = ignore,
    options: Options | None = None,
    clock: Clock | None = None,
) -> Report:
    """Make the cluster hold ``objects``. With ``app``, they are labelled and listed as that application's, and pruned.

    Raises an ExceptionGroup of InputErrors and FailedErrors when the server refuses something (nothing was written), DeadlineError
    when pruned objects do not go. Objects that do not become healthy are ``failures`` of the Report.
    """
    how, clock = options or Options(), clock or SystemClock()
    began, kinds = clock.monotonic(), Discovery(client)
    planned = await _plan(client, kinds, objects, app=app, namespace=namespace, force=how.force)
    on_progress(Planned(actions=tuple(planned.actions.values())))
    async with World(client, clock=clock, patience=how.patience) as world:
        deadline = began + how.timeout
        async with Watcher(world, listener=on_progress, deadline=deadline) as watcher:
            run = _Run(client, kinds, planned, world, watcher, on_progress, how)
            failures, late = await run.until_healthy()
            kept: tuple[Ref, ...] = ()
            if not failures and run.inventory is not None and how.prune is not Prune.none:
                remover = Remover(client, kinds, world, listener=run.tell, deadline=deadline)
                verdict, _ = await remover.prune(run.inventory, planned.prune, how.prune)
                kept = verdict.keep
        health = {r: watcher.health[r] for r in planned.wanted if r in watcher.health} if how.wait else {}
    seconds = clock.monotonic() - began
    return Report(actions=tuple(run.done), health=health, failures=failures, kept=kept, late=late, seconds=seconds)


class _Run:
    """One apply under way."""

    def __init__(
        self, client: Client, kinds: Discovery, planned: Plan, world: World, watcher: Watcher, listener: Listener, how: Options
    ) -> None:
        self._client, self._kinds, self._planned, self._world, self._watcher = client, kinds, planned, world, watcher
        self._listener, self._how = listener, how
        self._wanted = dict(planned.wanted)
        self._needs = order.dependencies({r: w.object for r, w in planned.wanted.items()}) if how.wait else {}
        self._limit = asyncio.Semaphore(PARALLEL)
        self.inventory = planned.inventory
        self.done: list[Action] = []

    def tell(self, event: Applied) -> None:
        """Count what was done, and tell it."""
        self.done.append(event.action)
        self._listener(event)

    async def until_healthy(self) -> tuple[tuple[Failure, ...], bool]:
        """Apply everything and wait. What failed, and whether only time ran out."""
        try:
            for number, stage in enumerate(order.stages(self._wanted)):
                if number == 0 and order.stage_of(stage[0]) > 0:
                    await self._prepared()
                await self._apply_stage(stage)
                if order.stage_of(stage[0]) == 0:
                    await self._definitions(stage)
                    await self._prepared()
            if self._how.wait:
                await self._watcher.healthy(self._wanted)
        except UnhealthyError as error:
            return await diagnose(self._client, self._watcher.health, error.refs), error.late
        return (), False

    async def _prepared(self) -> None:
        """When namespaces and kinds exist: write down what will belong to the application, and start to watch it."""
        await self._widen_inventory()
        if self._how.wait:
            await self._world.follow({(w.resource, w.ref.namespace) for w in self._wanted.values() if w.resource is not None})

    async def _widen_inventory(self) -> None:
        if self.inventory is None:
            return
        entries = {**self.inventory.entries, **{r: w.object["apiVersion"] for r, w in self._wanted.items()}}
        wider = self.inventory.with_entries(entries)
        if wider.entries != self.inventory.entries:
            self.inventory = wider
            try:
                await inventory.write(self._client, wider)
            except ApiError as error:
                raise explain(Ref("", "ConfigMap", wider.namespace, wider.name), error) from error

    async def _definitions(self, stage: Sequence[Ref]) -> None:
        """Wait until new kinds are served, then find the resources of objects of these kinds."""
        definitions = [r for r in stage if r.kind == CRDS.kind]
        if not definitions:
            return
        await self._world.follow({(CRDS, "")})
        await self._watcher.healthy(definitions)
        self._kinds.forget()
        for ref, item in list(self._wanted.items()):
            if item.resource is None:
                self._wanted[ref] = await self._resolved(item)

    async def _resolved(self, item: Wanted) -> Wanted:
        resource = await self._kinds.find(item.object["apiVersion"], item.object["kind"])
        if resource is None:
            raise InputError(f"the new definition does not serve {item.object['apiVersion']}", where=item.where)
        return Wanted(ref=item.ref, object=item.object, resource=resource, where=item.where)

    async def _apply_stage(self, stage: Sequence[Ref]) -> None:
        refused = [e for e in await gather(self._apply_one(ref) for ref in stage) if e is not None]
        if refused:
            raise ExceptionGroup("refused by the server", refused)

    async def _apply_one(self, ref: Ref) -> LateenError | None:
        action, item = self._planned.actions[ref], self._wanted[ref]
        if action.verb is Verb.unchanged:
            self._watcher.follow(ref, self._planned.live[ref])
            self.tell(Applied(action=action))
            return None
        if needs := self._needs.get(ref):
            await self._watcher.healthy(needs)
        assert item.resource is not None
        try:
            async with self._limit:
                answer = await self._client.apply(item.resource, item.object, force=self._how.force)
        except ApiError as error:
            return explain(ref, error, item.where)
        self._watcher.follow(ref, answer)
        self.tell(Applied(action=action))
        return None
