"""A snapshot -> the resources of each proxy group. Pure; only what changed since the last snapshot is encoded again.

``mesh`` serves service addresses, ``edge`` the gateways with the clusters that their routes point to; ``border`` has something to
do only where those two live in a network of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from lateen.kube.meta import Key
from lateen.traffic.ir import GatewayPort, PortKey, Protocol, Route, Service, ServicePort, Snapshot, VirtualHost
from lateen.traffic.xds import border, clusters, listeners, routes
from lateen.traffic.xds.resource import Name, Resource

MESH, EDGE, BORDER = "mesh", "edge", "border"
GROUPS = (MESH, EDGE, BORDER)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a group must have from now on, and what it must lose."""

    put: tuple[Resource, ...] = ()
    drop: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class _Port:
    """The encoded parts of a service port. ``own`` are the listener and the routes of the mesh."""

    source: ServicePort
    address: str
    rules: tuple[Route, ...]
    cluster: Resource
    endpoints: Resource
    own: tuple[Resource, ...]


class Compiler:
    """Remembers the last snapshot and its resources. ``update`` gives the changes per group. ``doors`` is a path prefix for the
    sockets by which gateways are entered, '' where the edge listens on their addresses itself."""

    def __init__(self, doors: str = "") -> None:
        self._doors = doors
        self._snapshot = Snapshot()
        self._targets: frozenset[PortKey] = frozenset()
        self._ports: dict[Key, dict[PortKey, _Port]] = {}
        self._mesh_names: dict[Key, frozenset[Name]] = {}
        self._crossings: dict[Key, tuple[Resource, ...]] = {}  # of services that can be reached from the machine
        self._gateways: dict[GatewayPort, tuple[Resource, ...]] = {}
        self._sent: dict[str, dict[Name, Resource]] = {g: {} for g in GROUPS}

    def update(self, snapshot: Snapshot) -> Mapping[str, Changes]:
        """Move on to ``snapshot``."""
        old, self._snapshot = self._snapshot, snapshot
        gone = [k for k in old.services if k not in snapshot.services]
        changed = {k for k, s in snapshot.services.items() if old.services.get(k) is not s}
        if old.mesh_routes is not snapshot.mesh_routes:
            changed |= self._rerouted(old) - set(gone)
        for key in changed:
            self._ports[key] = self._service(snapshot.services[key])
        for key in gone:
            self._ports.pop(key, None)
        mesh, outside = self._mesh(changed, gone), self._outside({*changed, *gone})
        if old.gateways is snapshot.gateways:
            return {MESH: mesh, EDGE: self._edge(changed), BORDER: self._border() if outside else Changes()}
        self._gateways = {g: self._gateways.get(g) or tuple(_gateway(g, self._doors)) for g in snapshot.gateways}
        return {MESH: mesh, EDGE: self._edge_all(), BORDER: self._border()}

    def _rerouted(self, old: Snapshot) -> set[Key]:
        """Services whose rules changed, or that became or ceased to be the target of a rule."""
        new, before = self._snapshot.mesh_routes, self._targets
        self._targets = frozenset(t for rules in new.values() for r in rules for t in r.targets())
        ports = {k for k in {*old.mesh_routes, *new} if old.mesh_routes.get(k) != new.get(k)} | (before ^ self._targets)
        return {Key(p.namespace, p.name) for p in ports}

    def _service(self, service: Service) -> dict[PortKey, _Port]:
        known, rules = self._ports.get(service.key, {}), self._snapshot.mesh_routes
        make = partial(_port, service.address, doors=self._doors)
        return {p.key: make(p, rules.get(p.key, ()), known.get(p.key)) for p in service.ports}

    def _mesh(self, changed: Iterable[Key], gone: Iterable[Key]) -> Changes:
        wanted: dict[Name, Resource] = {}
        drop: list[Name] = []
        for key in changed:
            mine = {r.id: r for r in self._mesh_resources(key)}
            wanted |= mine
            drop += self._mesh_names.get(key, frozenset()) - mine.keys()
            self._mesh_names[key] = frozenset(mine)
        for key in gone:
            drop += self._mesh_names.pop(key, ())
        return self._apply(MESH, wanted, drop)

    def _mesh_resources(self, key: Key) -> Iterator[Resource]:
        for port in self._ports[key].values():
            if port.address or port.source.key in self._targets:
                yield port.cluster
                yield port.endpoints
            yield from port.own
        if not self._doors:
            yield from _health(self._snapshot.services[key])

    def _edge_all(self) -> Changes:
        resources = [r for parts in self._gateways.values() for r in parts]
        for target in self._snapshot.routed():
            port = self._ports[Key(target.namespace, target.name)][target]
            resources += (port.cluster, port.endpoints)
        return self._all(EDGE, resources)

    def _border(self) -> Changes:
        if not self._doors:
            return Changes()
        entries = [(listeners.edge_name(g), (g.address, g.listen)) for g in self._gateways]
        gateways = [r for name, place in entries for r in border.crossing(self._doors, name, {name: place})]
        return self._all(BORDER, [*gateways, *(r for parts in self._crossings.values() for r in parts)])

    def _outside(self, keys: Iterable[Key]) -> bool:
        """Bring the border's part of these services up to date. Whether something may have changed there."""
        touched = False
        for key in keys if self._doors else ():
            had = self._crossings.pop(key, ())
            parts = tuple(r for p in self._ports.get(key, {}).values() for r in _crossing(p.source, self._doors))
            if (service := self._snapshot.services.get(key)) is not None:
                parts += tuple(_health(service))
            if parts:
                self._crossings[key] = parts
            touched = touched or bool(had or parts)
        return touched

    def _all(self, group: str, resources: Iterable[Resource]) -> Changes:
        wanted = {r.id: r for r in resources}
        return self._apply(group, wanted, [n for n in self._sent[group] if n not in wanted])

    def _edge(self, changed: Iterable[Key]) -> Changes:
        """Endpoint changes of services that gateways send to."""
        known = self._sent[EDGE]
        mine = (r for k in changed for p in self._ports[k].values() for r in (p.cluster, p.endpoints))
        return self._apply(EDGE, {r.id: r for r in mine if r.id in known}, ())

    def _apply(self, group: str, wanted: Mapping[Name, Resource], drop: Iterable[Name]) -> Changes:
        sent = self._sent[group]
        put = tuple(r for n, r in wanted.items() if (known := sent.get(n)) is None or known.version != r.version)
        dropped = tuple(n for n in dict.fromkeys(drop) if sent.pop(n, None) is not None)
        sent.update((r.id, r) for r in put)
        return Changes(put, dropped)


def _health(service: Service) -> Iterator[Resource]:
    if service.health is not None:
        yield listeners.health_listener(service, service.health)
        yield routes.health(listeners.health_name(service), service)


def _crossing(port: ServicePort, doors: str) -> Iterator[Resource]:
    places = {listeners.outside_name(port, i): place for i, place in enumerate(port.outside)}
    if places:
        yield from border.crossing(doors, listeners.outside_name(port), places, udp=port.protocol is Protocol.UDP)


def _port(address: str, port: ServicePort, rules: tuple[Route, ...], known: _Port | None, *, doors: str) -> _Port:
    """The encoded port; parts of ``known`` that still hold are kept."""
    if known is None or (known.source.protocol, known.source.sticky) != (port.protocol, port.sticky):
        return _Port(
            port, address, rules, clusters.cluster(port), clusters.endpoints(port), tuple(_own(address, port, rules, doors))
        )
    before = (known.source.listen, known.source.outside, known.address, known.rules)
    own = known.own if before == (port.listen, port.outside, address, rules) else tuple(_own(address, port, rules, doors))
    members = known.endpoints if known.source.endpoints == port.endpoints else clusters.endpoints(port)
    return _Port(port, address, rules, known.cluster, members, own)


def _own(address: str, port: ServicePort, rules: tuple[Route, ...], doors: str) -> Iterator[Resource]:
    if not address:
        return
    yield listeners.mesh_listener(address, port)
    if doors and port.outside:
        yield listeners.door_listener(port, border.door(doors, listeners.outside_name(port)), [border.announced()])
    elif port.outside:
        yield from (listeners.outside_listener(port, i) for i in range(len(port.outside)))
    if port.protocol.is_http:
        name = listeners.mesh_name(port)
        yield (
            routes.routing(name, [VirtualHost("*", rules)])
            if rules
            else routes.forwarding(name, clusters.cluster_name(port), sticky=port.sticky)
        )


def _gateway(port: GatewayPort, doors: str) -> Iterator[Resource]:
    yield from listeners.secrets(port)
    yield (
        listeners.edge_listener(port, border.door(doors, listeners.edge_name(port)), [border.announced()])
        if doors
        else listeners.edge_listener(port)
    )
    if not port.servers:
        yield routes.routing(listeners.edge_name(port), port.hosts)
    for server in port.servers:
        yield routes.routing(listeners.edge_name(port, server), server.hosts)
