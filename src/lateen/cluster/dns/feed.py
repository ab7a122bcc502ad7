"""The daemon's side of DNS: the Service ``kube-dns``, the server's process, and what it must know. Made and run by ``boot``.

The process belongs to the ``system`` shim and goes on answering while the daemon is away; the next daemon finds it, and tells it
everything anew. A change costs one line over a Unix socket; changes that come together go together.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lateen.aio.clock import Clock
from lateen.aio.retry import Backoff
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.cluster.dns.entries import entry_of
from lateen.cluster.dns.teller import Teller
from lateen.errors import AlreadyExistsError, LateenError
from lateen.kube.meta import Key, Object, key_of, labels_of, meta
from lateen.kube.resources import ENDPOINTSLICES, NAMESPACES, SERVICES
from lateen.reconcile.events import Recorder
from lateen.shim.client import ShimClient, Spawn

log = logging.getLogger(__name__)
ID, PORT = "dns", 53
SERVICE = Key("kube-system", "kube-dns")
_SLICE_OF = "kubernetes.io/service-name"
_CONTRACT = {"lateen.dev/contract": "1"}
_AGAIN = Backoff(first=0.02, most=5.0)
_PACE = 0.005  # seconds between two lines: a burst of endpoints becomes a few
_STARTS, _STEP = 10.0, 0.01
_PATIENCE = 4  # failures in a row until nobody waits for it any more
_LOOK = 1.0  # seconds: whether the network is still the one where the server listens
Opener = Callable[[str, str], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """``opener`` makes a bound socket ("udp" or "tcp", address) where pods are; ``place`` names that network: another name means
    that sockets there are to be made anew. ``own`` are the cluster's networks."""

    socket: Path
    log: Path
    opener: Opener
    place: Callable[[], str]
    own: Sequence[IPv4Network]


class DnsFeed:
    """``address`` is where pods ask, once ``install`` has returned; ``problem`` says why nobody answers there, if so."""

    def __init__(self, settings: DnsSettings, *, client: Client, informers: InformerSet, shim: ShimClient, clock: Clock) -> None:
        self._settings, self._client, self._shim, self._clock = settings, client, shim, clock
        self._services, self._slices = informers.informer(SERVICES), informers.informer(ENDPOINTSLICES)
        self._namespaces = informers.informer(NAMESPACES)
        self._dirty: dict[Key, None] = {}
        self._namespaces_dirty = False
        self._changed = asyncio.Event()
        self._served = asyncio.Event()
        self._recorder = Recorder(client, clock, component="lateen-dns")
        self._failures = 0
        self.address, self.problem = "", ""

    async def install(self, address: str) -> str:
        """Make the Service, at ``address`` unless it has another already; its address."""
        try:
            made = await self._client.create(SERVICES, kube_dns(address))
        except AlreadyExistsError:
            made = await self._client.get(SERVICES, SERVICE.name, SERVICE.namespace)
        self.address = str(made["spec"]["clusterIP"])
        return self.address

    async def ready(self) -> None:
        """Return once the server answers with everything there was, or without it when that does not get better."""
        deadline = self._clock.monotonic() + _STARTS
        while not self._served.is_set() and self._failures < _PATIENCE and self._clock.monotonic() < deadline:
            await self._clock.sleep(_STEP)

    async def run(self) -> None:
        """Keep the server running and told until cancelled, which leaves it alone."""
        self._slices.add_index("dns", lambda s: [str(k) for k in _service_of(s)])
        for informer in (self._services, self._slices, self._namespaces):
            await informer.synced()
        self._services.subscribe(lambda old, new: self._touch(key_of(o) for o in (old, new) if o))
        self._slices.subscribe(lambda old, new: self._touch(k for o in (old, new) if o for k in _service_of(o)))
        self._namespaces.subscribe(self._namespace)
        async with TaskOwner("dns events") as owner:
            self._recorder.start(owner)
            while True:
                since = self._clock.monotonic()
                try:
                    await self._session()
                except (LateenError, OSError) as error:
                    self._failures = 0 if self._clock.monotonic() - since > _AGAIN.most else self._failures + 1
                    self._note(self._words(error))
                    await self._clock.sleep(_AGAIN.delay(self._failures))

    def _words(self, error: Exception) -> str:
        """Why there is no DNS: what the server said last, if it has ended."""
        process = self._shim.processes().get(ID)
        if process is None or process.alive:
            return str(error)
        try:
            said = self._settings.log.read_text(errors="replace").strip().splitlines()[-1:]
        except OSError:
            said = []
        return said[0] if said else process.message or str(error)

    def _note(self, problem: str) -> None:
        """Say once what is wrong: in the log, and on the Service after more than one try."""
        if problem == self.problem or self._failures < 2:
            return
        self.problem = problem
        log.warning("there is no DNS: %s", problem)
        self._recorder.warning(kube_dns(self.address), "DNSUnavailable", f"pods can look up no names: {problem}")

    def _well(self) -> None:
        self._served.set()
        if self.problem:
            self.problem = ""
            self._recorder.normal(kube_dns(self.address), "DNSReady", f"names are answered at {self.address}")

    def _touch(self, keys: Iterable[Key]) -> None:
        self._dirty.update(dict.fromkeys(keys))
        self._changed.set()

    def _namespace(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None:
            self._namespaces_dirty = True
            self._changed.set()

    async def _session(self) -> None:
        """Everything once, then changes, until the server goes away."""
        await self._ensure_process()
        teller = await self._connected()
        try:
            async with TaskOwner("dns") as owner:
                owner.start(self._wake_at_end(), "watch")
                owner.start(self._wake_when_moved(), "moved")
                self._dirty.clear()
                await self._tell(teller, self._everything())
                self._well()
                while True:
                    await self._changed.wait()
                    await self._clock.sleep(_PACE)
                    self._changed.clear()
                    await self._tell(teller, self._changes())
        finally:
            teller.close()

    async def _wake_at_end(self) -> None:
        await self._shim.wait(ID)
        self._changed.set()

    async def _wake_when_moved(self) -> None:
        """What the next message is answered with says where the server listens: one is sent when that is another place now."""
        known = self._place()
        while True:
            await self._clock.sleep(_LOOK)
            try:
                place = self._place()
            except (LateenError, OSError):
                continue  # between two keepers
            if place != known:
                known = place
                self._changed.set()

    async def _tell(self, teller: Teller, message: Mapping[str, Any]) -> None:
        if await teller.tell(message) != self._place():
            await self._listen(teller)

    def _place(self) -> str:
        return f"{self.address} {self._settings.place()}"

    async def _listen(self, teller: Teller) -> None:
        place = self._place()
        sockets = [await self._settings.opener(kind, self.address) for kind in ("udp", "tcp")]
        try:
            await teller.tell({"listen": place}, (sockets[0], sockets[1]))
        finally:
            for made in sockets:
                made.close()
        log.info("DNS answers at %s", self.address)

    def _everything(self) -> dict[str, Any]:
        return {
            "server": self.address,
            "own": [str(n) for n in self._settings.own],
            "replace": [self._entry(s) for s in self._services.list()],
            **self._names(),
        }

    def _changes(self) -> dict[str, Any]:
        keys, message = list(self._dirty), dict[str, Any]()
        self._dirty.clear()
        found = {k: self._services.get(k) for k in keys}
        message["put"] = [self._entry(s) for s in found.values() if s is not None]
        message["remove"] = [k for k, s in found.items() if s is None]
        if self._namespaces_dirty:
            message |= self._names()
        return message

    def _names(self) -> dict[str, Any]:
        self._namespaces_dirty = False
        return {"namespaces": [key_of(n).name for n in self._namespaces.list()]}

    def _entry(self, service: Object) -> dict[str, Any]:
        return entry_of(service, self._slices.by_index("dns", str(key_of(service)))).wire()

    async def _ensure_process(self) -> None:
        """It runs, in this version."""
        await self._shim.connect()
        known = self._shim.processes().get(ID)
        if known is not None and known.alive:
            if known.labels == _CONTRACT:
                return
            await self._shim.signal(ID, 15)
            await self._shim.wait(ID)
        if known is not None:
            await self._shim.forget(ID)
        self._settings.socket.unlink(missing_ok=True)
        argv = [sys.executable, "-I", "-m", "lateen.cluster.dns.main", "--socket", str(self._settings.socket)]
        await self._shim.spawn(Spawn(id=ID, argv=argv, env={}, log=self._settings.log, labels=_CONTRACT))

    async def _connected(self) -> Teller:
        deadline = self._clock.monotonic() + _STARTS
        while True:
            try:
                return await Teller.connect(self._settings.socket)
            except LateenError:
                process = self._shim.processes().get(ID)
                if process is None or not process.alive or self._clock.monotonic() > deadline:
                    raise
            await self._clock.sleep(_STEP)


def kube_dns(address: str) -> Object:
    """The Service that names the server. It answers at that address itself: service proxies leave it alone, by its label."""
    labels = {
        "k8s-app": "kube-dns",
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
        "service.kubernetes.io/service-proxy-name": "lateen-dns",
    }
    ports = [{"name": n, "port": PORT, "protocol": p, "targetPort": PORT} for n, p in (("dns", "UDP"), ("dns-tcp", "TCP"))]
    metadata = {"name": SERVICE.name, "namespace": SERVICE.namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": address, "ports": ports}}


def _service_of(piece: Object) -> list[Key]:
    name = labels_of(piece).get(_SLICE_OF)
    return [Key(meta(piece).get("namespace", ""), name)] if name else []
