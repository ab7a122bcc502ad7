"""The scheduler at work: informers feed the Cluster, the queue says who is next, ``decide`` plans, and this carries it out.

Started by cluster.boot. Decisions are made one after another on the event loop, in short bursts; bindings run beside them,
many at a time. A decided pod is assumed on its node at once, so the next decision sees it; a binding that fails takes that back and
the pod waits for its back-off. Refused pods are decided again when a node, pod, volume or namespace changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.cluster.scheduler import report
from lateen.cluster.scheduler.decide import Decision, Planner
from lateen.cluster.scheduler.queue import SchedulingQueue
from lateen.cluster.scheduler.state import Cluster, Placed
from lateen.cluster.scheduler.volumes import NOTHING
from lateen.errors import ApiError, ConflictError, DeadlineError, NotFoundError, TransportError
from lateen.kube.claims import BOUND_BY, SELECTED_NODE, claim_reference
from lateen.kube.meta import Key, Object, Uid, key_of, labels_of, meta, uid_of
from lateen.kube.resources import NAMESPACES, NODES, PDBS, PODS, PVCS, PVS, STORAGECLASSES
from lateen.reconcile.events import Recorder

log = logging.getLogger(__name__)

STORAGE = (PVCS, PVS, STORAGECLASSES)
_TURN = 0.001  # seconds of deciding before the event loop gets a turn
_BINDINGS = 64  # in flight at a time
_CLAIM_SECONDS = 600.0  # how long claims may take to be bound after the node is chosen
_RETRIABLE = (ApiError, TransportError)


class Scheduler:
    """Places every pod of ``name`` that has no node. ``run`` works until cancelled."""

    def __init__(
        self, client: Client, clock: Clock, *, informers: InformerSet | None = None, name: str = "default-scheduler"
    ) -> None:
        self._client, self._clock, self._name = client, clock, name
        self._own_informers = informers is None
        self._informers = informers or InformerSet(client, clock)
        self._cluster = Cluster()
        self._planner = Planner(self._cluster)
        self._queue = SchedulingQueue()
        self._events = Recorder(client, clock, component=name)
        self._assumed: dict[Uid, Key] = {}
        self._claims_changed = asyncio.Event()
        self._work = asyncio.Event()
        self._slots = asyncio.Semaphore(_BINDINGS)
        self._tasks = TaskOwner("scheduler")

    async def run(self) -> None:
        """Watch, decide, bind, until cancelled."""
        async with self._tasks:
            self._events.start(self._tasks)
            self._subscribe()
            if self._own_informers:
                self._informers.start(self._tasks)
            await self._informers.synced()
            self._tasks.start(self._tick(), "tick")
            while True:
                await self._work.wait()
                self._work.clear()
                await self._drain()

    def _subscribe(self) -> None:
        for resource in STORAGE:
            self._informers.informer(resource).subscribe(self._storage_handler(resource.kind))
        self._informers.informer(NAMESPACES).subscribe(self._namespace_changed)
        self._informers.informer(PDBS).subscribe(self._budget_changed)
        self._informers.informer(NODES).subscribe(self._node_changed)
        self._informers.informer(PODS).subscribe(self._pod_changed)

    # what changed

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self._cluster.remove_node(meta(old)["name"])
        elif self._cluster.set_node(new):
            self._stir()

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self._forget(uid_of(old))
        elif new["spec"].get("nodeName"):
            self._settled(new)
        elif uid_of(new) not in self._assumed:
            self._offer(old, new)
        elif "deletionTimestamp" in new["metadata"]:
            self._queue.remove(uid_of(new))  # its binding will be refused, and is not to be tried again

    def _offer(self, old: Object | None, pod: Object) -> None:
        spec, phase = pod["spec"], (pod.get("status") or {}).get("phase")
        mine = spec.get("schedulerName", "default-scheduler") == self._name and not spec.get("schedulingGates")
        if not mine or "deletionTimestamp" in pod["metadata"] or phase in ("Succeeded", "Failed"):
            self._queue.remove(uid_of(pod))
            return
        changed = old is None or old["spec"] != spec or labels_of(old) != labels_of(pod)
        self._queue.add(pod, retry=changed)
        self._work.set()

    def _settled(self, pod: Object) -> None:
        """The pod is bound (by us or by hand)."""
        uid = uid_of(pod)
        self._assumed.pop(uid, None)
        self._queue.remove(uid)
        before = self._cluster.node_of(uid)
        self._cluster.set_pod(pod)
        if before and not self._cluster.node_of(uid):  # it finished: there is room
            self._stir()

    def _forget(self, uid: Uid) -> None:
        self._assumed.pop(uid, None)
        self._queue.remove(uid)
        if self._cluster.remove_pod(uid):
            self._stir()

    def _namespace_changed(self, _old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._cluster.set_namespace(meta(new)["name"], labels_of(new))

    def _budget_changed(self, old: Object | None, new: Object | None) -> None:
        budget = new if new is not None else old
        assert budget is not None
        self._cluster.set_budget(budget, gone=new is None)

    def _storage_handler(self, kind: str) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            obj = new if new is not None else old
            assert obj is not None
            self._cluster.set_storage(kind, obj, gone=new is None)
            self._claims_changed.set()
            self._stir()

        return changed

    def _stir(self) -> None:
        if self._queue:
            self._queue.stir()
            self._work.set()

    async def _tick(self) -> None:
        """Back-offs end by time alone."""
        while True:
            await self._clock.sleep(1.0)
            if self._queue:
                self._work.set()

    # deciding

    async def _drain(self) -> None:
        turn = self._clock.monotonic()
        self._queue.advance(turn)
        while (pod := self._queue.pop()) is not None:
            self._decide(pod)
            if self._clock.monotonic() - turn > _TURN:
                await self._clock.sleep(0)
                turn = self._clock.monotonic()

    def _decide(self, pod: Object) -> None:
        uid = uid_of(pod)
        self._cluster.remove_pod(uid)  # the room that was kept for it
        decision = self._planner.decide(pod)
        if not decision.node:
            self._queue.refuse(uid, self._clock.monotonic())
            self._start(self._refuse(pod, decision), pod)
            nominated = decision.preemption.node if decision.preemption else (pod.get("status") or {}).get("nominatedNodeName")
            if nominated:
                self._cluster.set_pod(pod, nominated, bound=False)
            return
        self._cluster.set_pod(pod, decision.node)
        self._assumed[uid] = key_of(pod)
        for claim, volume in decision.volumes.matched:
            self._cluster.reserve(volume, Key(meta(pod)["namespace"], claim))
        self._start(self._place(pod, decision), pod)

    def _start(self, work: Coroutine[Any, Any, None], pod: Object) -> None:
        self._tasks.start(work, str(key_of(pod)))

    # doing

    async def _place(self, pod: Object, decision: Decision) -> None:
        try:
            if decision.volumes != NOTHING:
                await self._bind_claims(pod, decision)
            async with self._slots:
                await self._client.create(PODS, report.binding(pod, decision.node), subresource="binding")
        except (NotFoundError, ConflictError) as error:
            log.info("binding %s: %s", key_of(pod), error)  # gone, or bound by hand: the informer tells which
            self._take_back(pod, decision)
        except (*_RETRIABLE, DeadlineError) as error:
            self._take_back(pod, decision)
            self._events.warning(pod, "FailedScheduling", str(error))
        else:
            self._queue.remove(uid_of(pod))
            where = f"{key_of(pod)} to {decision.node}"
            self._events.normal(pod, "Scheduled", f"Successfully assigned {where}")

    async def _preempt(self, pod: Object, victim: Placed) -> None:
        """End a pod gracefully, and say why. One that only waits for room loses its place."""
        if not victim.bound:
            self._cluster.remove_pod(victim.uid)
            return
        name, namespace = victim.key.name, victim.key.namespace
        try:
            patch = report.disrupted(self._clock.now(), self._name)
            await self._client.patch(PODS, name, patch, namespace=namespace, kind="strategic", subresource="status")
            gone = await self._client.delete(PODS, name, namespace, uid=victim.uid)
        except (NotFoundError, ConflictError):
            return
        except _RETRIABLE as error:
            log.warning("preempting %s: %s", victim.key, error)
            return
        text = f"Preempted by pod {uid_of(pod)} on node {victim.node}"
        self._events.normal({"apiVersion": "v1", "kind": "Pod", **gone}, "Preempted", text)

    def _take_back(self, pod: Object, decision: Decision) -> None:
        uid = uid_of(pod)
        for _, volume in decision.volumes.matched:
            self._cluster.release(volume)
        if self._assumed.pop(uid, None) is not None:
            self._cluster.remove_pod(uid)
            self._queue.refuse(uid, self._clock.monotonic())
            self._queue.retry(uid)

    async def _bind_claims(self, pod: Object, decision: Decision) -> None:
        """Give the claims their volumes, or say where they are needed, and wait until they are bound. DeadlineError."""
        namespace, chosen = meta(pod)["namespace"], decision.volumes
        for name, volume in chosen.matched:
            await self._give(volume, Key(namespace, name))
        for name in chosen.provisioned:
            annotation = {"metadata": {"annotations": {SELECTED_NODE: decision.node}}}
            await self._client.patch(PVCS, name, annotation, namespace=namespace)
        unbound = (*[name for name, _ in chosen.matched], *chosen.provisioned)
        deadline = self._clock.monotonic() + _CLAIM_SECONDS
        while waiting := [n for n in unbound if not self._claim_bound(namespace, n)]:
            if self._clock.monotonic() >= deadline:
                raise DeadlineError(f"persistentvolumeclaim {', '.join(waiting)} not bound after {_CLAIM_SECONDS:.0f} s")
            if uid_of(pod) not in self._assumed:
                raise NotFoundError(f"pod {key_of(pod)} went away")
            self._claims_changed.clear()
            await self._next_claim_change()

    async def _give(self, name: str, key: Key) -> None:
        """Name the claim in the volume, unless that is done."""
        volume, claim = self._cluster.volumes.get(name), self._cluster.claims.get((key.namespace, key.name))
        if volume is None or claim is None:
            raise NotFoundError(f"persistentvolume {name} or claim {key} went away")
        if (volume["spec"].get("claimRef") or {}).get("uid") == uid_of(claim):
            return
        notes = {"annotations": {BOUND_BY: "yes"}, "resourceVersion": meta(volume)["resourceVersion"]}
        await self._client.patch(PVS, name, {"metadata": notes, "spec": {"claimRef": claim_reference(claim)}})

    async def _next_claim_change(self) -> None:
        async with TaskOwner("claims") as owner:
            woken = owner.start(self._claims_changed.wait(), "changed")
            timer = owner.start(self._clock.sleep(1.0), "second look")
            await asyncio.wait((woken, timer), return_when=asyncio.FIRST_COMPLETED)

    def _claim_bound(self, namespace: str, name: str) -> bool:
        claim = self._cluster.claims.get((namespace, name))
        return claim is not None and bool(claim["spec"].get("volumeName")) and (claim.get("status") or {}).get("phase") == "Bound"

    async def _refuse(self, pod: Object, decision: Decision) -> None:
        """Tell the pod's readers why it waits, when that is news; make room for it where that was decided."""
        found, message = decision.preemption, decision.message
        patch = report.unschedulable(pod, message, self._clock.now(), found.node if found else "")
        if found is not None:
            for victim in found.victims:
                await self._preempt(pod, victim)
        if patch is None:
            return
        m = meta(pod)
        try:
            async with self._slots:
                await self._client.patch(PODS, m["name"], patch, namespace=m["namespace"], kind="strategic", subresource="status")
        except _RETRIABLE as error:
            log.info("status of %s: %s", key_of(pod), error)
            return
        self._events.warning(pod, "FailedScheduling", message)
