"""The composition root: the embedded cluster with traffic in front of it. Made by ``daemon`` only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner
from lateen.cluster.boot import BootSettings, Cluster, unprivileged_start
from lateen.errors import FailedError
from lateen.kube.addresses import gateway_network
from lateen.kube.meta import Object
from lateen.server import internet
from lateen.server.home import ClusterHome
from lateen.server.network import NETNS, network_client
from lateen.server.ports import API, GATEWAY, choose_port
from lateen.shim.client import ShimClient

log = logging.getLogger(__name__)
Progress = Callable[[str], None]


class LateGate:
    """The gate until traffic is there: pods wait for it, then ask it."""

    def __init__(self) -> None:
        self._gate: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def open_with(self, gate: Any) -> None:
        """From now on ``gate`` decides."""
        self._gate.set_result(gate)

    async def admit(self, pod: Object, blocked: Callable[[str, str], None]) -> None:
        if not self._gate.done():
            blocked("TrafficStarting", "the proxies are being started")
        gate = await asyncio.shield(self._gate)
        await gate.admit(pod, blocked)

    async def withdraw(self, pod: Object) -> None:
        gate = await asyncio.shield(self._gate)
        await gate.withdraw(pod)


class Composition:
    """Everything one daemon runs."""

    def __init__(self, home: ClusterHome, settings: dict[str, Any], clock: Clock) -> None:
        self._home, self._settings, self._clock = home, settings, clock
        self._system = ShimClient(folder=home.system, socket=home.socket("system"), name="system", clock=clock)
        self._network = network_client(home, self._system, clock) if settings["network"] == NETNS else None
        self._owner = TaskOwner("server")
        self._cluster: Cluster | None = None
        self._traffic: Any = None
        self._gate = LateGate()

    async def start(self, progress: Progress) -> dict[str, Any]:
        """Ready means: the API answers and every node can run pods. Proxies follow right behind; pods wait for them."""
        progress("process owner")
        number = await self._lease()
        if self._network is not None:
            await self._network.start()
            self._owner.start(self._network.run(), "network")
        gateway_port = await self._gateway_port()
        api_port = await choose_port(API, self._settings, self._system)
        cluster = self._cluster = Cluster(self._boot_settings(number, api_port), self._clock)
        progress("API server")
        await cluster.start_api()
        self._owner.start(self._start_traffic(cluster, gateway_port, number), "traffic")
        if self._network is not None:
            log_file = self._home.root / "network" / "internet.log"
            self._owner.start(internet.keep(self._system, self._network, log_file, self._clock), "internet")
        progress("nodes")
        await cluster.start_nodes(self._gate)
        self._settings.pop("slices", None)
        return {
            "slice": number,
            "internet": self._network is None or not internet.missing(),
            "dns_problem": cluster.dns_problem,
            "api_port": api_port,
            "gateway_port": gateway_port,
            "api_server": cluster.server,
            "gateway": f"http://127.0.0.1:{gateway_port}",
            "kubeconfig": str(self._home.kubeconfig),
        }

    async def _lease(self) -> int:
        """The address slice: held by the system shim for as long as anything of this cluster runs."""
        await self._system.connect()
        known = self._settings.get("slice")
        wanted: Sequence[int] = self._settings["slices"] if known is None else [known]
        try:
            name = await self._system.lease("slice", [f"lateen-slice-{k}" for k in wanted])
        except FailedError as error:
            where = f"slice {wanted[0]} of 127.0.0.0/8"
            raise FailedError(
                f"the addresses of cluster {self._home.name} ({where}) are in use by another cluster; stop it"
            ) from error
        return int(name.rpartition("-")[2])

    def _boot_settings(self, number: int, api_port: int) -> BootSettings:
        s = self._settings
        return BootSettings(
            name=self._home.name,
            folder=self._home.root,
            images=self._home.images,
            socket=self._home.socket,
            slice=number,
            api_port=api_port,
            nodes=[f"node-{i}" for i in range(s["nodes"])],
            fake_nodes=s["fake_nodes"],
            node_grace=s["node_grace"],
            network=self._network,
            runtime=s["runtime"],
            system=self._system,
            **{name: s[name] for name in ("eviction_hard", "image_gc", "allowed_unsafe_sysctls") if s.get(name) is not None},
        )

    async def _gateway_port(self) -> int:
        edge = self._system.processes().get("envoy-border" if self._network else "envoy-edge")
        return await choose_port(GATEWAY, self._settings, self._system, ours=edge is not None and edge.alive)

    async def _start_traffic(self, cluster: Cluster, gateway_port: int, number: int) -> None:
        """Import, install the kinds, start the proxies. Beside the nodes, because the imports alone take a third of a second."""
        controller = await asyncio.to_thread(_import_traffic)
        network, port = self._network, int(cluster.server.rpartition(":")[2])
        self._traffic = controller.Traffic(
            cluster.client_for("system:lateen:traffic", ("system:masters",), manager="lateen-traffic"),
            cluster.informers,
            self._system,
            controller.TrafficSettings(
                folder=self._home.system / "envoy",
                sockets=self._home.socket("envoy"),
                gateway_ports={80: gateway_port},
                gateway_network=str(gateway_network(number)),
                unprivileged_start=unprivileged_start(),
                within=(lambda: network.pid) if network else None,
                doors={(str(cluster.settings.pods[1]), port): self._home.socket("api")} if network else {},
            ),
            self._clock,
        )
        await self._traffic.start()
        self._gate.open_with(self._traffic.gate)

    async def abandon(self) -> None:
        """The start failed: leave nothing of our own behind, but let what already ran go on."""
        await self._owner.close()
        if self._cluster is not None:
            await self._cluster.detach()
        if self._network is not None:
            self._network.close()
        await self._system.close()

    async def stop(self) -> None:
        """End pods, proxies, shims and ourselves."""
        await self._owner.close()
        if self._cluster is not None:
            await self._cluster.stop()
        if self._traffic is not None:
            await self._traffic.stop()
        if self._network is not None:
            self._network.close()
        await self._system.stop(seconds=5.0)


def _import_traffic() -> Any:
    from lateen.traffic import controller

    return controller
