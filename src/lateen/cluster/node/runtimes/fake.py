"""Hollow nodes: pods that are Ready at once and run nothing, by the thousand. For scale tests and simulation.

One object serves any number of hollow nodes with the process's one pods informer: a bound pod costs one status write, a deleted one
one delete. Hollow nodes carry ``lateen.dev/runtime=fake`` and the taint ``lateen.dev/fake:NoSchedule``. The addresses are of the
benchmarking range 198.18.0.0/15 (RFC 2544): nothing listens there, and no gate is asked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence

from lateen.aio.clock import Clock
from lateen.aio.queue import WorkQueue
from lateen.aio.tasks import TaskOwner, gather
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.cluster.node.decide import INIT, kind_of
from lateen.cluster.node.registration import RENEW, Registration
from lateen.cluster.node.seam import ContainerState, PodAddress
from lateen.cluster.node.status import ContainerFacts, PodFacts, patch_for, pod_status
from lateen.errors import ApiError, LateenError, NotFoundError, TransportError
from lateen.kube.meta import Key, Object, key_of, meta, timestamp, uid_of
from lateen.kube.resources import PODS

log = logging.getLogger(__name__)
TAINT = {"key": "lateen.dev/fake", "effect": "NoSchedule"}
RESOURCES = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "500"}
_NETWORK = ipaddress.IPv4Network("198.18.0.0/15")
_HOST = "198.18.0.1"
_WORKERS = 16


class HollowNodes:
    """``run`` until cancelled. ``names`` are the nodes; ``ready`` is set when all are registered."""

    def __init__(self, names: Sequence[str], *, client: Client, informers: InformerSet, clock: Clock) -> None:
        self._names, self._client, self._informers, self._clock = frozenset(names), client, informers, clock
        self._queue: WorkQueue[Key] = WorkQueue(clock)
        self._addresses = 0
        self.registrations = [
            Registration(client, clock, name, runtime="fake", resources=RESOURCES, ip=_HOST, taints=[TAINT]) for name in names
        ]
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Register every node, then run their pods."""
        async with TaskOwner("hollow nodes") as owner:
            await gather(self._register(r) for r in self.registrations)
            owner.start(self._renew(), "leases")
            owner.start(self._queue.run_timers(), "timers")
            pods = self._informers.informer(PODS)
            await pods.synced()
            self._pods = pods
            pods.subscribe(self._changed)
            for i in range(_WORKERS):
                owner.start(self._work(), str(i))
            self.ready.set()
            await asyncio.Event().wait()

    async def _register(self, registration: Registration) -> None:
        while True:
            try:
                await registration.register()
                return
            except LateenError as error:
                log.warning("node %s could not be registered: %s", registration.name, error)
                await self._clock.sleep(1.0)

    async def _renew(self) -> None:
        """All leases, spread over the interval, so that there is never a burst of writes."""
        while True:
            for registration in self.registrations:
                await self._clock.sleep(RENEW / len(self.registrations))
                try:
                    await registration.renew()
                except (ApiError, TransportError) as error:
                    log.warning("node %s: the lease was not renewed: %s", registration.name, error)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (new.get("spec") or {}).get("nodeName") in self._names and _wants(new):
            self._queue.add(key_of(new))

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._serve(key)
                self._queue.forget(key)
            except NotFoundError:
                self._queue.forget(key)
            except (ApiError, TransportError) as error:
                log.info("hollow pod %s: %s; again in %.3f s", key, error, self._queue.retry(key))
            finally:
                self._queue.done(key)

    async def _serve(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is None or not _wants(pod):
            return
        if meta(pod).get("deletionTimestamp"):
            await self._client.delete(PODS, key.name, key.namespace, grace_seconds=0, uid=uid_of(pod))
        else:
            patch = patch_for(pod, self._status(pod))
            await self._client.patch(PODS, key.name, patch, namespace=key.namespace, subresource="status")

    def _status(self, pod: Object) -> Object:
        now = self._clock.now()
        self._addresses = self._addresses % (_NETWORK.num_addresses - 256) + 1
        address = PodAddress(ip=str(_NETWORK[self._addresses + 128]), host_ip=_HOST)
        facts = PodFacts(
            pod=pod,
            containers=[_container(uid_of(pod), c, kind, timestamp(now)) for c, kind in _containers(pod)],
            address=address,
            start_time=timestamp(now),
            traffic=True,
            sandbox=True,
        )
        return pod_status(facts, now)


def _wants(pod: Object) -> bool:
    """Whether there is something to write: a pod to start, or one to remove."""
    return bool(meta(pod).get("deletionTimestamp")) or (pod.get("status") or {}).get("phase", "Pending") == "Pending"


def _containers(pod: Object) -> list[tuple[Object, str]]:
    spec = pod.get("spec") or {}
    inits = [(c, kind_of(c, init=True)) for c in spec.get("initContainers") or ()]
    return inits + [(c, kind_of(c, init=False)) for c in spec.get("containers") or ()]


def _container(uid: str, container: Object, kind: str, now: str) -> ContainerFacts:
    done = kind == INIT
    state = ContainerState(
        id=f"{uid}_{container['name']}_0", pid=0, started_at=now, finished_at=now if done else "", exit_code=0 if done else None
    )
    return ContainerFacts(
        name=container["name"],
        image=container.get("image", ""),
        kind=kind,
        attempts=(state,),
        started=not done,
        ready=not done,
        image_id=container.get("image", ""),
    )
