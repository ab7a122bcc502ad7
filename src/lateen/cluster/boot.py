"""Puts the embedded cluster together in one process and one loop: storage, API server, controllers, scheduler, nodes.

Made by ``server`` (with traffic's gate) and by ``testing`` (without). Order: ``start_api``, then ``start_nodes``. Stopping lets
pods go on (``detach``) or ends them with everything else (``stop``).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from lateen.aio.clock import Clock
from lateen.aio.heap import collect_frozen, settle_heap, unsettle_heap
from lateen.aio.tasks import TaskOwner, outcomes
from lateen.aio.turns import Turns
from lateen.client.client import Client
from lateen.client.discovery import Discovery
from lateen.client.informer import InformerSet
from lateen.client.inprocess import InProcessTransport
from lateen.cluster import controllers
from lateen.cluster.api.auth.authenticator import Authenticator
from lateen.cluster.api.auth.kubeconfig import kubeconfig
from lateen.cluster.api.auth.pki import Pki, load_or_make
from lateen.cluster.api.auth.signing import certify
from lateen.cluster.api.auth.tokens import StaticTokens
from lateen.cluster.api.bootstrap import publish, publish_authentication
from lateen.cluster.api.https import HttpsServer
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN, UserInfo
from lateen.cluster.controllers.kit import Kit, Settings
from lateen.cluster.controllers.volumes import STANDARD
from lateen.cluster.dns.feed import DnsFeed, DnsSettings
from lateen.cluster.dns.sockets import DNS_HOST, hindrance, opener, place
from lateen.cluster.machine import Machine
from lateen.cluster.node.agent import NodeAgent, NodeSettings
from lateen.cluster.node.eviction_plan import DEFAULT as EVICTION
from lateen.cluster.node.image_gc import DEFAULT as IMAGE_GC
from lateen.cluster.node.image_gc import ImageGarbage, thresholds
from lateen.cluster.node.images import StoreImages
from lateen.cluster.node.networks.loopback import LoopbackNetwork
from lateen.cluster.node.networks.netns import NetnsNetwork
from lateen.cluster.node.runtimes.choice import AUTO, OCI, PROCESS, ChosenRuntime
from lateen.cluster.node.runtimes.fake import HollowNodes
from lateen.cluster.node.runtimes.oci.make import clean, oci_runtime, possible
from lateen.cluster.node.runtimes.process import ProcessRuntime
from lateen.cluster.node.seam import Gate, OpenGate, PodNetwork
from lateen.cluster.reach import Reach
from lateen.cluster.scheduler.loop import Scheduler
from lateen.cluster.storage.memory import MemoryStorage
from lateen.cluster.storage.seam import Storage
from lateen.cluster.storage.sqlite import SqliteStorage
from lateen.errors import AlreadyExistsError, InputError
from lateen.images.layout import ImageStore
from lateen.kube import addresses
from lateen.kube.meta import Object, condition_true, key_of, set_condition
from lateen.kube.resources import PODS, RUNTIMECLASSES, STORAGECLASSES, Resource
from lateen.reconcile import Manager
from lateen.reconcile.events import Recorder
from lateen.shim.client import ShimClient
from lateen.shim.netclient import NetworkClient

log = logging.getLogger(__name__)
_AT_ONCE = 4  # requests from inside that are worked on together: more are a little faster in bulk, and slower for everybody else
_SLIM_EVERY = 30.0  # seconds: what was decoded to be listed is worth keeping for the next list
_SLIMS_PER_COLLECTION = 120  # once an hour
MASTERS = ("system:masters", "system:authenticated")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootSettings:
    """What to boot. ``socket`` gives short socket paths by purpose; ``api_port`` 0 takes a free one. ``network``, if given, is the
    keeper of namespaces for this cluster alone (netns); else pods are on the machine's loopback network. ``system`` owns the DNS
    server's process; without it there is no DNS."""

    name: str
    folder: Path
    images: Path
    socket: Callable[[str], Path]
    slice: int
    api_port: int = 0
    nodes: Sequence[str] = ("node-0",)
    fake_nodes: int = 0
    node_grace: float = 40.0
    durable: bool = True
    network: NetworkClient | None = None
    runtime: str = AUTO
    eviction_hard: str = EVICTION
    allowed_unsafe_sysctls: str = ""
    image_gc: str = IMAGE_GC
    system: ShimClient | None = None
    unprivileged_start: int = field(default_factory=lambda: unprivileged_start())

    @property
    def own_network(self) -> bool:
        """Whether pods have network namespaces of their own."""
        return self.network is not None

    @property
    def services(self) -> IPv4Network:
        """Where Services have their cluster addresses."""
        return addresses.service_network(self.slice, own=self.own_network)

    @property
    def pods(self) -> IPv4Network:
        """Where pods have their addresses."""
        return addresses.pod_network(self.slice, own=self.own_network)


def unprivileged_start() -> int:
    """The first port this user can bind; 0 for root."""
    if os.geteuid() == 0:
        return 0
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


class Cluster:
    """One embedded cluster. ``client`` has every right; ``informers`` are shared by everything in the process."""

    def __init__(self, settings: BootSettings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.machine: Machine | None = None
        self.hollow: HollowNodes | None = None
        self.server = ""
        self._dns_address, self._dns_hindrance = "", ""
        self._dns: DnsFeed | None = None
        self._owner = TaskOwner(f"cluster {settings.name}")
        self._turns = Turns(_AT_ONCE)
        self._storage: Storage | None = None
        self._https: HttpsServer | None = None

    async def start_api(self) -> None:
        """Storage, API server, informers, controllers, scheduler. InputError when the port is taken."""
        s = self.settings
        s.folder.mkdir(parents=True, exist_ok=True)
        s.folder.chmod(0o700)  # Secrets lie in it, in the database and in pods' volumes
        self._storage = await asyncio.to_thread(self._open_storage)
        self.pki = await asyncio.to_thread(load_or_make, s.folder / "pki", ("127.0.0.1", str(s.services[1])))
        self.api = self._make_api(self._storage, self.pki)
        await self.api.start()
        await self._listen()
        self.client = self.client_for("system:lateen", MASTERS)
        self.informers = InformerSet(self.client, self.clock)
        self.informers.start(self._owner)
        await self._control()

    def _open_storage(self) -> Storage:
        return SqliteStorage.open(self.settings.folder / "state.db") if self.settings.durable else MemoryStorage()

    def _make_api(self, storage: Storage, pki: Pki) -> ApiServer:
        api = ApiServer(
            storage,
            clock=self.clock,
            service_network=self.settings.services,
            account_key=pki.service_account_key,
            account_admission=True,
            front_proxy=pki.front_proxy(),
        )
        api.health.add("storage", lambda: storage.trouble, ready_only=True)
        reach = Reach(lambda node: self.machine.agent(node) if self.machine is not None else None)
        api.read_logs_from(reach.logs)
        api.reach_nodes_by(reach)
        return api

    async def _listen(self) -> None:
        static = StaticTokens(self.settings.folder / "pki" / "tokens.json")
        authenticator = self.api.authenticator = Authenticator(static, self.api.accounts)
        self._https = HttpsServer(self.api, authenticator=authenticator, tls=self.pki.server_context())
        try:
            port = await self._https.start("127.0.0.1", self.settings.api_port)
        except OSError as error:
            raise InputError(
                f"port {self.settings.api_port} of 127.0.0.1 is taken: {error.strerror}",
                hint="stop what listens there, or choose another with --api-port",
            ) from error
        self.server = f"https://127.0.0.1:{port}"
        host = "127.0.0.1"
        if self.settings.own_network:  # pods come through the mesh, and that through a socket that crosses the border
            host = str(self.settings.pods[1])
            await self._https.listen_at(str(self.settings.socket("api")))
        await publish(self.api.backend, host, port)
        await publish_authentication(
            self.api.backend, self.pki.ca.certificate.decode(), self.pki.front_proxy_ca.certificate.decode()
        )
        file = self.settings.folder / "kubeconfig"
        if not file.exists() or self.server not in file.read_text():
            text = kubeconfig(name=self.settings.name, server=self.server, ca=self.pki.ca.certificate, token=static.add(ADMIN))
            await asyncio.to_thread(_write_private, file, text)

    async def _control(self) -> None:
        recorder = Recorder(self.client_for("system:kube-controller-manager", MASTERS), self.clock, component="controller-manager")
        recorder.start(self._owner)
        kit = Kit(
            client=self.client_for("system:kube-controller-manager", MASTERS, manager="kube-controller-manager"),
            informers=self.informers,
            discovery=Discovery(self.client),
            clock=self.clock,
            recorder=recorder,
            settings=Settings(
                volumes=self.settings.folder / "volumes",
                root_ca=self.pki.ca.certificate.decode(),
                certify=partial(certify, self.pki.ca),
                node_grace=self.settings.node_grace,
            ),
        )
        await self._ensure(STORAGECLASSES, STANDARD)
        for handler in (PROCESS, OCI):
            await self._ensure(RUNTIMECLASSES, {"metadata": {"name": handler}, "handler": handler})
        await Manager(controllers.build(kit), self.informers).start(self._owner)
        scheduler = Scheduler(
            self.client_for("system:kube-scheduler", MASTERS, manager="kube-scheduler"), self.clock, informers=self.informers
        )
        self._owner.start(scheduler.run(), "scheduler")
        self._owner.start(self._keep_slim(), "keep slim")

    async def _keep_slim(self) -> None:
        for turn in itertools.count(1):
            await self.clock.sleep(_SLIM_EVERY)
            if self._storage is not None:
                self._storage.slim()
            if turn % _SLIMS_PER_COLLECTION == 0:
                collect_frozen()

    async def _ensure(self, resource: Resource, obj: Object) -> None:
        try:
            await self.client.create(resource, obj)
        except AlreadyExistsError:
            return

    def client_for(self, user: str, groups: Sequence[str], *, manager: str = "lateen") -> Client:
        """An in-process client as ``user``."""
        kind = "server" if user.startswith("system:lateen") else "node" if user.startswith("system:node") else ""
        handler = self.api.handler_for(UserInfo(name=user, groups=tuple(groups), inside=kind))
        return Client(InProcessTransport(handler, turns=self._turns, flow=user), field_manager=manager)

    async def start_nodes(self, gate: Gate | None = None) -> None:
        """Real and hollow nodes; returns when all are ready."""
        containers = possible(inside=self.settings.own_network)
        if self.settings.runtime == OCI and not containers:
            hint = "install crun (without privileges the network must be netns), or start with --runtime process"
            raise InputError("containers cannot be had on this machine", hint=hint)
        images = StoreImages(
            ImageStore(self.settings.images),
            cluster=self.settings.folder,
            clock=self.clock,
            registries=self.settings.images.parent / "registries.yaml",
            layered=self.settings.runtime != PROCESS and containers,
        )
        images.garbage = self._garbage()
        self._owner.start(images.garbage.run(), "image garbage")
        # One for all nodes: it alone knows which addresses of the slice are taken.
        network = await self._network()
        self._dns = await self._start_dns()
        self.machine = Machine(self.settings.nodes, lambda name: self._node(name, images, network, gate or OpenGate()))
        if self.settings.fake_nodes:
            names = [f"fake-{i}" for i in range(self.settings.fake_nodes)]
            self.hollow = HollowNodes(
                names, client=self.client_for("system:nodes", MASTERS), informers=self.informers, clock=self.clock
            )
            self._owner.start(self.hollow.run(), "hollow nodes")
        await self.machine.start(self.informers)
        if self._dns is not None:
            await self._dns.ready()
        if self.hollow:
            await self.hollow.ready.wait()
        # What is alive now lives as long as the cluster: the collector need not look at it again and again.
        settle_heap()

    @property
    def dns_problem(self) -> str:
        """Why pods can look up no names, or ''."""
        return self._dns.problem if self._dns is not None else self._dns_hindrance

    def _garbage(self) -> ImageGarbage:
        s, pods = self.settings, self.informers.informer(PODS)

        def here() -> list[Object]:
            return [pod for pod in pods.list() if (pod.get("spec") or {}).get("nodeName") in s.nodes]

        def warn(reason: str, message: str) -> None:
            agents = [self.machine.agent(name) for name in s.nodes] if self.machine else []
            for agent in filter(None, agents):
                agent.warn(reason, message)

        store, limits = ImageStore(s.images), thresholds(s.image_gc)
        return ImageGarbage(store, cluster=s.folder, clock=self.clock, pods=here, limits=limits, warn=warn)

    async def _network(self) -> LoopbackNetwork | NetnsNetwork:
        s = self.settings
        if s.network is None:
            return LoopbackNetwork(s.folder / "network", s.pods)
        network = NetnsNetwork(s.network, pods=s.pods, services=s.services)
        await network.start()
        return network

    async def _start_dns(self) -> DnsFeed | None:
        """Let the DNS server be started; None where there can be none."""
        s = self.settings
        if s.system is None:
            return None
        await s.system.connect()
        address = str(s.services[DNS_HOST])
        if problem := hindrance(address, s.system, s.network, s.unprivileged_start):
            log.warning("there is no DNS in the cluster: %s", problem)
            self._dns_hindrance = problem
            return None
        settings = DnsSettings(
            socket=s.socket("dns"),
            log=s.folder / "system" / "dns.log",
            opener=opener(s.network),
            place=place(s.network),
            own=(s.pods, s.services),
        )
        client = self.client_for("system:lateen:dns", MASTERS, manager="lateen-dns")
        feed = DnsFeed(settings, client=client, informers=self.informers, shim=s.system, clock=self.clock)
        self._dns_address = await feed.install(address)
        self._owner.start(feed.run(), "dns")
        return feed

    def _node(self, name: str, images: StoreImages, network: PodNetwork, gate: Gate) -> tuple[ShimClient, NodeAgent]:
        s, folder = self.settings, self.settings.folder / "nodes" / name
        shim = ShimClient(
            folder=folder / "shim",
            socket=s.socket(name),
            name=name,
            clock=self.clock,
            within=lambda: s.network.pid if s.network else 0,
        )
        agent = NodeAgent(
            NodeSettings(
                name=name,
                folder=folder,
                ip=str(s.pods[1]) if s.own_network else "127.0.0.1",
                unprivileged_start=0 if s.own_network else self.settings.unprivileged_start,
                lease_every=self.settings.node_grace / 4,
                eviction_hard=s.eviction_hard,
                allowed_unsafe_sysctls=[one.strip() for one in s.allowed_unsafe_sysctls.split(",") if one.strip()],
                cluster_dns=self._dns_address,
                own_network=s.own_network,
            ),
            client=self.client_for(f"system:node:{name}", MASTERS, manager="kubelet"),
            informers=self.informers,
            clock=self.clock,
            runtime=self._runtime(folder, shim),
            images=images,
            network=network,
            gate=gate,
        )
        return shim, agent

    def _runtime(self, folder: Path, shim: ShimClient) -> ChosenRuntime:
        oci = oci_runtime(folder, shim, inside=self.settings.own_network) if self.settings.runtime != PROCESS else None
        return ChosenRuntime(self.settings.runtime, shim, ProcessRuntime(shim), oci)

    async def detach(self) -> None:
        """End the daemon's part; pods go on and the next daemon adopts them."""
        if self.machine is not None:
            await self.machine.detach()
        await self._close()

    async def stop(self, seconds: float = 10.0) -> None:
        """End everything: pods get SIGTERM, then SIGKILL after ``seconds``."""
        if self.machine is not None:
            await self.machine.retire()
            await outcomes([self._not_ready(p) for p in self.informers.informer(PODS).list()])
        await self._close()
        if self.machine is not None:
            await self.machine.stop(seconds)
            for name in self.settings.nodes:
                await asyncio.to_thread(clean, self.settings.folder / "nodes" / name)

    async def _not_ready(self, pod: Object) -> None:
        """Say of a pod that is about to end that it is not ready: what is stored must not promise more than there will be."""
        status, now = pod.get("status") or {}, self.clock.now()
        if (pod.get("spec") or {}).get("nodeName") not in self.settings.nodes or not condition_true(pod, "ContainersReady"):
            return
        conditions = status["conditions"]
        for kind in ("Ready", "ContainersReady"):
            new = {"type": kind, "status": "False", "reason": "NodeStopped", "message": "the cluster was stopped"}
            conditions = set_condition(conditions, new, now)
        key = key_of(pod)
        await self.client.patch(
            PODS, key.name, {"status": {"conditions": conditions}}, namespace=key.namespace, subresource="status"
        )

    async def _close(self) -> None:
        await self._owner.close()
        if self._https is not None:
            await self._https.close()
        if hasattr(self, "api"):
            await self.api.close()
        if self._storage is not None:
            await self._storage.close()
        unsettle_heap()


def _write_private(file: Path, text: str) -> None:
    scratch = file.with_suffix(".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    scratch.replace(file)
