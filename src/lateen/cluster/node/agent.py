"""The node agent: registers the node, renews its lease, runs a worker for each pod bound to it, adopts what already runs.

Made and run by ``cluster.boot``, one per real node. What it does not do: choose nodes (scheduler), notice dead nodes (node
lifecycle controller), send traffic (whoever fills the Gate).
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.cluster.node.admission import Refused, unchosen, unfit, unroomy
from lateen.cluster.node.container import attempt_number
from lateen.cluster.node.context import NodeContext
from lateen.cluster.node.eviction import Evictor
from lateen.cluster.node.eviction_plan import DEFAULT, thresholds
from lateen.cluster.node.logs import Logs
from lateen.cluster.node.node_object import capacity
from lateen.cluster.node.registration import RENEW, Registration
from lateen.cluster.node.resize import allocated, requested
from lateen.cluster.node.seam import Connection, ContainerState, Gate, Images, PodNetwork, Runtime
from lateen.cluster.node.static import StaticPods
from lateen.cluster.node.stats import Measured, resource_metrics, summary
from lateen.cluster.node.streams import AttachSession, CommandSession, LogOutlet, Wanted, open_session
from lateen.cluster.node.usage import Meter, Reading
from lateen.cluster.node.worker import PodWorker, remove_folder
from lateen.errors import LateenError, ServerError
from lateen.kube.meta import Object, key_of, meta, parse_time, uid_of
from lateen.kube.resources import CONFIGMAPS, PODS, SECRETS
from lateen.reconcile.events import Recorder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """One node. ``folder`` is its own, ``ip`` its InternalIP and the pods' hostIP; ``unprivileged_start``: see kube.addresses;
    ``lease_every`` so many seconds it says that it lives; ``eviction_hard``: below what pods are put out;
    ``allowed_unsafe_sysctls``: patterns of those that pods may set besides the safe ones."""

    name: str
    folder: Path
    ip: str = "127.0.0.1"
    unprivileged_start: int = 0
    lease_every: float = RENEW
    labels: Mapping[str, str] | None = None
    cluster_dns: str = ""
    own_network: bool = False
    eviction_hard: str = DEFAULT
    allowed_unsafe_sysctls: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """Cores and bytes."""

    cores: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a node uses; ``pods`` by UID, then by container."""

    at: datetime
    window: float
    node: Use
    pods: Mapping[str, Mapping[str, Use]]


class NodeAgent:
    """``run`` until cancelled: pods go on running. ``informers`` is the process's shared set; its pods informer is used. ``logs``
    is what the API server's ``pods/log`` reads for pods of this node."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        client: Client,
        informers: InformerSet,
        clock: Clock,
        runtime: Runtime,
        images: Images,
        network: PodNetwork,
        gate: Gate,
    ) -> None:
        self.settings = settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        resources = capacity(settings.folder)
        self._recorder = Recorder(client, clock, component="kubelet", host=settings.name)
        self.context = NodeContext(
            node=settings.name,
            folder=settings.folder,
            client=client,
            clock=clock,
            runtime=runtime,
            images=images,
            network=network,
            gate=gate,
            recorder=self._recorder,
            allocatable=resources,
            unprivileged_start=settings.unprivileged_start,
            cluster_dns=settings.cluster_dns,
            own_network=settings.own_network,
            refuses=self._refuses,
            others=self._given_to_others,
        )
        self.registration = Registration(
            client,
            clock,
            settings.name,
            runtime=runtime.name,
            resources=resources,
            ip=settings.ip,
            labels=settings.labels,
            every=settings.lease_every,
        )
        self.evictor = Evictor(
            self.context,
            thresholds(settings.eviction_hard),
            workers=lambda: list(self._workers.values()),
            report=self.registration.press,
            node=lambda: self.registration.node,
        )
        self._static = StaticPods(
            self.context,
            settings.folder / "manifests",
            pods=lambda: [w.pod for w in self._workers.values()],
            node=lambda: self.registration.node,
        )
        self._meter = Meter(runtime, clock)
        self._informers = informers
        self.logs = Logs(settings.folder, clock, lambda pod: informers.informer(PODS).get(key_of(pod)))
        self._workers: dict[str, PodWorker] = {}
        self._states: dict[str, list[ContainerState]] = {}
        self._owner: TaskOwner | None = None
        self._retired = False
        self.ready = asyncio.Event()

    @property
    def pods(self) -> int:
        """How many pods this node runs."""
        return len(self._workers)

    async def run(self) -> None:
        """Register (tried until it works), adopt, serve. Sets ``ready`` when the node is registered and pods are being run."""
        async with TaskOwner(f"node {self.settings.name}") as owner:
            self._owner = owner
            await self._register()
            self._recorder.start(owner)
            owner.start(self.registration.keep(), "lease")
            owner.start(self.evictor.run(), "eviction")
            pods = self._informers.informer(PODS)
            await pods.synced()
            await self._collect()
            pods.subscribe(self._pod_changed)
            for resource in (CONFIGMAPS, SECRETS):
                self._informers.informer(resource).subscribe(self._config_changed)
            await self._drop_orphans()
            owner.start(self._static.run(), "static pods")
            self.ready.set()
            await asyncio.Event().wait()

    def warn(self, reason: str, message: str) -> None:
        """An event on the node."""
        self._recorder.warning({"apiVersion": "v1", "kind": "Node", **self.registration.node}, reason, message)

    async def _register(self) -> None:
        pause = 0.1
        while True:
            try:
                node = await self.registration.register()
                self._recorder.normal({"apiVersion": "v1", "kind": "Node", **node}, "Starting", "Starting kubelet.")
                return
            except LateenError as error:
                log.warning("node %s could not be registered: %s", self.settings.name, error)
                await self.context.clock.sleep(pause)
                pause = min(5.0, pause * 2)

    async def _collect(self) -> None:
        """What the runtime has, by pod: the worker of each pod takes it over. Without it no pod may be started: it may run."""
        while True:
            try:
                states = await self.context.runtime.states()
                break
            except LateenError as error:
                log.error("node %s: the runtime cannot be asked what runs: %s", self.settings.name, error)
                await self.context.clock.sleep(1.0)
        for state in states.values():
            self._states.setdefault(state.id.partition("_")[0], []).append(state)

    async def _drop_orphans(self) -> None:
        """End containers of pods that were deleted while nobody looked, and remove their folders."""
        assert self._owner is not None
        for uid in set(self._states) - set(self._workers):
            self._owner.start(self._drop(uid, self._states.pop(uid)), f"orphans of {uid}")
        folder = self.settings.folder / "pods"
        left = [p.name for p in folder.iterdir() if p.name not in self._workers] if folder.is_dir() else []
        for uid in left:
            await asyncio.to_thread(remove_folder, self.context, uid)
            await self.context.network.detach(uid)

    async def _drop(self, uid: str, states: list[ContainerState]) -> None:
        for state in states:
            if state.exit_code is None:
                log.warning("container %s belongs to no pod: it is ended", state.id)
                await self.context.runtime.signal(state.id, signal.SIGKILL)
                await self.context.runtime.wait(state.id)
            await self.context.runtime.remove(state.id)
        await self.context.runtime.drop_pod(uid)
        await self.context.network.detach(uid)
        await asyncio.to_thread(remove_folder, self.context, uid)

    def exec(self, pod: Object, container: str, argv: Sequence[str], wanted: Wanted) -> Callable[[], CommandSession]:
        """What starts a command in a container. ServerError, worded as the kubelet does, when that does not run."""
        attempt = self._running(pod, container)
        return lambda: open_session(self.context.runtime, attempt.id, argv, wanted)

    def attach(self, pod: Object, container: str, wanted: Wanted) -> Callable[[], AttachSession]:
        """What joins a running container. ServerError as ``exec``."""
        attempt = self._running(pod, container)
        spec = self._workers[uid_of(pod)].spec(container)
        has = replace(wanted, tty=bool(spec.get("tty")), stdin=wanted.stdin and bool(spec.get("stdin")))
        log_path = self.context.log_path(uid_of(pod), container, attempt_number(attempt.id))
        once = bool(spec.get("stdinOnce"))
        return lambda: AttachSession(self.context.runtime, attempt.id, LogOutlet(log_path, self.context.clock), has, once=once)

    async def dial(self, pod: Object, port: int) -> Connection:
        """A TCP connection to a port of a pod of this node. OSError with a sentence."""
        if uid_of(pod) not in self._workers:
            raise ServerError(f"pod {key_of(pod)} is not on node {self.settings.name}")
        return await self.context.network.dial(pod, port)

    async def usage(self) -> Usage:
        """What is used here now, by pod and container."""
        reading, pods = await self._measured()
        by_pod = {str(uid_of(p.pod)): {name: Use(rate.cores, rate.used.memory) for name, _, rate in p.containers} for p in pods}
        node = Use(reading.node.cores, reading.node.used.memory)
        return Usage(at=reading.at, window=reading.window, node=node, pods=by_pod)

    async def page(self, path: str) -> tuple[str, bytes] | None:
        """One of the kubelet's pages: (content type, body); None when there is no such page."""
        if path == "healthz":
            return "text/plain; charset=utf-8", b"ok"
        if path == "pods":
            pods = [w.pod for w in self._workers.values() if not w.removed]
            listed = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}
            return "application/json", json.dumps(listed).encode()
        if path not in ("stats/summary", "metrics/resource"):
            return None
        reading, measured = await self._measured()
        if path == "metrics/resource":
            return "text/plain; version=0.0.4; charset=utf-8", resource_metrics(reading, measured).encode()
        return "application/json", json.dumps(summary(self.settings.name, self.settings.folder, reading, measured)).encode()

    async def _measured(self) -> tuple[Reading, list[Measured]]:
        reading = await self._meter.read({a.id: parse_time(a.started_at) for w in self._workers.values() for _, a in w.running()})
        pods = []
        for worker in self._workers.values():
            found = [(name, a.started_at, reading.containers[a.id]) for name, a in worker.running() if a.id in reading.containers]
            if found:
                pods.append(Measured(pod=worker.pod, containers=found))
        return reading, pods

    def _running(self, pod: Object, container: str) -> ContainerState:
        worker = self._workers.get(uid_of(pod))
        found = worker.attempt(container) if worker is not None else None
        if found is None or found.exit_code is not None:
            raise ServerError(f'unable to upgrade connection: container not found ("{container}")')
        return found

    async def _refuses(self, pod: Object) -> Refused | None:
        """Why the node does not take this new pod."""
        if message := self.evictor.refuses(pod):
            return Refused("Evicted", message)
        if found := unfit(pod, self.settings.allowed_unsafe_sysctls):
            return found
        if unchosen(pod, self.registration.node) and (found := unchosen(pod, await self.registration.refresh())):
            return found
        others = [w.pod for w in self._workers.values() if w.uid != uid_of(pod) and w.taken and not w.finished]
        wanted, given = requested(allocated(pod).values()), self._given_to_others(pod)
        return unroomy(pod, others, wanted=wanted, given=given, room=self.context.allocatable)

    def _given_to_others(self, pod: Object) -> Mapping[str, Fraction]:
        """What the running pods of this node were given, without ``pod``."""
        others = [w.resizer.allocated for w in self._workers.values() if w.uid != uid_of(pod) and w.taken and not w.finished]
        return requested(one for allocated in others for one in allocated.values())

    def retire(self) -> None:
        """Look at nothing any more: this agent is about to end, and another one may take its place."""
        self._retired = True

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        if self._retired or pod is None or (pod.get("spec") or {}).get("nodeName") != self.settings.name:
            return
        worker = self._workers.get(uid_of(pod))
        if new is None:
            if worker is not None:
                worker.gone()
        elif worker is not None:
            worker.update(new)
        else:
            self._begin(new)

    def _begin(self, pod: Object) -> None:
        assert self._owner is not None
        uid = uid_of(pod)
        self._workers[uid] = PodWorker(self.context, pod, self._states.pop(uid, ()))
        self._owner.start(self._work(self._workers[uid]), f"pod {key_of(pod)}")

    async def _work(self, worker: PodWorker) -> None:
        """A worker that fails by a defect is started again: a pod without one would be nobody's."""
        pause = 1.0
        while True:
            try:
                await worker.run()
            except Exception:
                log.exception("the worker of pod %s failed; again in %.0f s", key_of(worker.pod), pause)
                await self.context.clock.sleep(pause)
                pause = min(60.0, pause * 2)
                worker = await self._replacement(worker)
            else:
                self._workers.pop(worker.uid, None)
                return

    async def _replacement(self, failed: PodWorker) -> PodWorker:
        states = [s for s in (await self.context.runtime.states()).values() if s.id.partition("_")[0] == failed.uid]
        fresh = PodWorker(self.context, failed.pod, states)
        if failed.removed:
            fresh.gone()
        self._workers[failed.uid] = fresh
        return fresh

    def _config_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        if self._retired or changed is None or self._owner is None:
            return
        namespace = meta(changed).get("namespace")
        for worker in self._workers.values():
            if meta(worker.pod).get("namespace") == namespace and not worker.ending:
                worker.refresh()
