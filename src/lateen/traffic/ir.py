"""What the proxies shall do, as one frozen snapshot: services with their endpoints, gateways with their listeners and routes.

``translate`` makes it from API objects, ``xds.compile`` makes Envoy resources from it. It knows neither Kubernetes objects nor
Envoy. Parts that did not change are the same Python objects in the next snapshot: identity is how the compiler finds changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from lateen.kube.meta import Key


class Health(Enum):
    """Whether an endpoint receives new requests. A draining one keeps what it has."""

    HEALTHY = "HEALTHY"
    DRAINING = "DRAINING"


class Protocol(Enum):
    """What is spoken on a port; everything that is not named is TCP."""

    HTTP = "http"
    HTTP2 = "http2"
    GRPC = "grpc"
    TCP = "tcp"
    UDP = "udp"

    @property
    def is_http(self) -> bool:
        """Whether requests can be told apart."""
        return self not in (Protocol.TCP, Protocol.UDP)


class PortKey(NamedTuple):
    """A service's port: what a route points to, what a cluster is named after. ``transport`` is '' for TCP, else udp."""

    namespace: str
    name: str
    port: int
    transport: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}/{self.port}" + (f"/{self.transport}" if self.transport else "")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a pod for one port. ``pod`` is the pod's UID, empty when the slice does not say."""

    address: str
    port: int
    health: Health
    pod: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service. ``listen`` is the port the proxy binds, which differs when ``port`` is privileged. ``outside`` are the
    places of the machine, beside the service's own address, where it can be reached: its NodePort, its load balancer's address,
    its external ones. ``sticky``: a client's address decides on its endpoint."""

    key: PortKey
    name: str
    protocol: Protocol
    listen: int
    endpoints: tuple[Endpoint, ...]
    outside: tuple[tuple[str, int], ...] = ()
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """``address`` is the cluster address, empty for a headless service: then only gateways may send to it. ``health`` is where load
    balancers ask how many endpoints are ``ready``."""

    key: Key
    address: str
    ports: tuple[ServicePort, ...]
    health: tuple[str, int] | None = None
    ready: int = 0

    @property
    def shape(self) -> tuple[object, ...]:
        """Everything but the endpoints: what routes depend on."""
        return self.address, tuple((p.key, p.name, p.protocol, p.listen) for p in self.ports)


class PathKind(Enum):
    """How a path is compared."""

    EXACT = "Exact"
    PREFIX = "PathPrefix"
    REGEX = "RegularExpression"


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A header or query parameter."""

    name: str
    value: str
    regex: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """All parts must hold."""

    path: str = "/"
    path_kind: PathKind = PathKind.PREFIX
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    method: str = ""


@dataclass(frozen=True, slots=True)
class HeaderEdit:
    """Changes to headers, in this order: set, add, remove."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()

    def then(self, other: HeaderEdit) -> HeaderEdit:
        """Both."""
        return HeaderEdit(self.set + other.set, self.add + other.add, self.remove + other.remove)


@dataclass(frozen=True, slots=True)
class PathChange:
    """A new path: the whole one, or what stands for the matched prefix."""

    value: str
    prefix: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Answer with another place. Empty parts stay as they were."""

    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: PathChange | None = None
    code: int = 302


@dataclass(frozen=True, slots=True)
class Mirror:
    """Send a copy of ``numerator`` of each ``denominator`` requests."""

    backend: PortKey
    numerator: int = 100
    denominator: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A share of a rule's requests. Without ``port`` the reference is bad: that share is answered with 500."""

    port: PortKey | None
    weight: int = 1
    request: HeaderEdit = HeaderEdit()
    response: HeaderEdit = HeaderEdit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds; None is no limit."""

    request: float | None = None
    backend: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One match of one rule, in order of precedence. ``source`` is the route object it came from."""

    source: Key
    match: Match
    backends: tuple[Backend, ...] = ()
    redirect: Redirect | None = None
    rewrite_host: str = ""
    rewrite_path: PathChange | None = None
    request: HeaderEdit = HeaderEdit()
    response: HeaderEdit = HeaderEdit()
    mirrors: tuple[Mirror, ...] = ()
    timeouts: Timeouts = Timeouts()

    def targets(self) -> Iterator[PortKey]:
        """Every port it may send to."""
        yield from (b.port for b in self.backends if b.port is not None)
        yield from (m.backend for m in self.mirrors)


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """The routes of one hostname (``*`` and ``*.suffix`` are wildcards)."""

    hostname: str
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A TLS certificate chain with its key, PEM. ``name`` says which Secret."""

    name: str
    chain: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TlsServer:
    """The certificates for one name (SNI); an empty ``hostname`` or ``*`` is every other name."""

    section: str
    hostname: str
    certificates: tuple[Certificate, ...]
    hosts: tuple[VirtualHost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPort:
    """One bound port of a gateway: plain HTTP (``hosts``) or HTTPS (``servers``)."""

    gateway: Key
    port: int
    address: str
    listen: int
    hosts: tuple[VirtualHost, ...] = ()
    servers: tuple[TlsServer, ...] = ()

    def all_hosts(self) -> Iterator[VirtualHost]:
        """Every virtual host, plain or not."""
        yield from self.hosts
        for server in self.servers:
            yield from server.hosts


Routes = Mapping[PortKey, tuple[Route, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything at one moment. ``mesh_routes`` replaces the plain forwarding of a service port by routes (GAMMA)."""

    version: int = 0
    services: Mapping[Key, Service] = field(default_factory=dict)
    gateways: tuple[GatewayPort, ...] = ()
    mesh_routes: Routes = field(default_factory=dict)

    def port(self, key: PortKey) -> ServicePort | None:
        """The service port, if there is one."""
        service = self.services.get(Key(key.namespace, key.name))
        return next((p for p in service.ports if p.key == key), None) if service else None

    def routed(self) -> frozenset[PortKey]:
        """Every port that a gateway may send to."""
        return frozenset(t for g in self.gateways for h in g.all_hosts() for r in h.routes for t in r.targets())

    def consistent(self) -> list[str]:
        """What is wrong with it, in words; empty when every rule holds. A snapshot that is not consistent is not served."""
        return [*self._dangling(), *self._bad_routes()]

    def _dangling(self) -> Iterator[str]:
        wanted = self.routed() | {t for routes in self.mesh_routes.values() for r in routes for t in r.targets()}
        for target in sorted(wanted | set(self.mesh_routes)):
            if self.port(target) is None:
                yield f"a route points to {target}, which is not in the snapshot"

    def clashes(self) -> Iterator[str]:
        """Who wants the place of somebody else. Not fatal: the proxy refuses the second one, by name."""
        taken: dict[tuple[str, int], str] = {}
        ports = [(s, p) for s in self.services.values() if s.address for p in s.ports if p.protocol is not Protocol.UDP]
        places = [((s.address, p.listen), str(p.key)) for s, p in ports]
        places += [((g.address, g.listen), f"gateway {g.gateway} port {g.port}") for g in self.gateways]
        for place, owner in places:
            if (other := taken.setdefault(place, owner)) != owner:
                yield f"{owner} and {other} both listen on {place[0]}:{place[1]}"

    def _bad_routes(self) -> Iterator[str]:
        for gateway in self.gateways:
            for hosts in (gateway.hosts, *(s.hosts for s in gateway.servers)):
                names = [h.hostname for h in hosts]
                if len(names) != len(set(names)):
                    yield f"gateway {gateway.gateway} port {gateway.port} has a hostname twice"
