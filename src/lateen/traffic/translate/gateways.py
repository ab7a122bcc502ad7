"""All of Gateway API at once -> gateway ports, mesh routes, and every status. Called when one of its objects changed.

A Gateway is this controller's when its class is. The oldest one has the default address, each other one an address of its own,
so gateways never share a port. A Service as a route's parent (GAMMA) makes the same rules apply inside the mesh.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lateen.kube.addresses import bindable_port
from lateen.kube.meta import Key, Object, key_of, meta
from lateen.kube.selectors import Labels
from lateen.traffic.ir import GatewayPort, PortKey, Route, TlsServer, VirtualHost
from lateen.traffic.translate.conditions import (
    CONTROLLER,
    GROUP,
    Condition,
    GatewayPlace,
    GatewayStatus,
    ListenerStatus,
    ParentStatus,
    Place,
    RouteStatus,
    accepted,
    age,
    generation_of,
)
from lateen.traffic.translate.grpc import as_http
from lateen.traffic.translate.hostnames import intersect, owner, specificity
from lateen.traffic.translate.listeners import Listener, listeners_of
from lateen.traffic.translate.references import References
from lateen.traffic.translate.rules import Ranked, Rules, UnsupportedError, rules_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where gateways listen. ``ports`` maps ports of the default gateway; ``network`` is where all others have addresses."""

    address: str = "127.0.0.1"
    ports: Mapping[int, int] = field(default_factory=dict)
    network: str = "127.127.255.0/24"
    unprivileged_start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The objects, as the API has them; ``namespaces`` are their labels."""

    classes: Sequence[Object] = ()
    gateways: Sequence[Object] = ()
    routes: Sequence[Object] = ()
    grpc_routes: Sequence[Object] = ()
    namespaces: Mapping[str, Labels] = field(default_factory=dict)
    references: References = field(default_factory=References)
    places: Places = field(default_factory=Places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """What the snapshot gets and what the statuses say."""

    gateways: tuple[GatewayPort, ...] = ()
    mesh_routes: Mapping[PortKey, tuple[Route, ...]] = field(default_factory=dict)
    classes: Mapping[Key, int] = field(default_factory=dict)  # accepted classes with their generation
    gateway_statuses: Mapping[Key, GatewayStatus] = field(default_factory=dict)
    route_statuses: Mapping[Key, RouteStatus] = field(default_factory=dict)
    grpc_statuses: Mapping[Key, RouteStatus] = field(default_factory=dict)


@dataclass(slots=True)
class _Attached:
    """What is attached to one listener: hostnames with their rules."""

    listener: Listener
    hosts: dict[str, list[Ranked]] = field(default_factory=dict)
    routes: set[tuple[str, Key]] = field(default_factory=set)


def translate_gateways(world: World) -> Translated:
    """Everything. Pure."""
    classes = {key_of(c): generation_of(c) for c in world.classes if c["spec"].get("controllerName") == CONTROLLER}
    names = {k.name for k in classes}
    mine = sorted((g for g in world.gateways if g["spec"].get("gatewayClassName") in names), key=age)
    attached = {key_of(g): [_Attached(x) for x in listeners_of(g, world.references)] for g in mine}
    mesh: dict[PortKey, list[Ranked]] = {}
    statuses = _attach_all("HTTPRoute", world.routes, world, attached, mesh)
    grpc_statuses = _attach_all("GRPCRoute", [as_http(r) for r in world.grpc_routes], world, attached, mesh)
    addresses = _addresses(mine, world.places)
    ports = {
        key_of(g): () if _unusable(g) else tuple(_ports(key_of(g), attached[key_of(g)], *addresses[key_of(g)], world.places))
        for g in mine
    }
    return Translated(
        gateways=tuple(p for found in ports.values() for p in found),
        mesh_routes={k: _sorted(ranked) for k, ranked in mesh.items()},
        classes=classes,
        gateway_statuses={key_of(g): _gateway_status(g, attached[key_of(g)], ports[key_of(g)], addresses[key_of(g)]) for g in mine},
        route_statuses=statuses,
        grpc_statuses=grpc_statuses,
    )


def _sorted(ranked: Iterable[Ranked]) -> tuple[Route, ...]:
    return tuple(route for _, route in sorted(ranked, key=lambda r: r[0]))


# Routes and their parents


def _attach_all(
    kind: str,
    routes: Sequence[Object],
    world: World,
    attached: Mapping[Key, list[_Attached]],
    mesh: dict[PortKey, list[Ranked]],
) -> dict[Key, RouteStatus]:
    """Attach every route of a kind; their statuses."""
    found = ((r, tuple(_parents(kind, r, world, attached, mesh))) for r in sorted(routes, key=age))
    return {key_of(route): RouteStatus(generation_of(route), parents) for route, parents in found if parents}


def _parents(
    kind: str, route: Object, world: World, attached: Mapping[Key, list[_Attached]], mesh: dict[PortKey, list[Ranked]]
) -> Iterator[ParentStatus]:
    """The status at each parent that is ours; attaches the rules on the way."""
    namespace = meta(route).get("namespace", "")
    refs = [(ref, _parent_key(ref, namespace)) for ref in route["spec"].get("parentRefs") or ()]
    ours = [(ref, to, key) for ref, (to, key) in refs if to == "Service" or (to == "Gateway" and key in attached)]
    if not ours:
        return
    try:
        rules: Rules | UnsupportedError = rules_of(route, world.references, kind)
    except UnsupportedError as error:
        rules = error
    for ref, to, key in ours:
        if isinstance(rules, UnsupportedError):
            yield ParentStatus(ref, (accepted("UnsupportedValue", str(rules)), Condition("ResolvedRefs", True, "ResolvedRefs")), ())
            continue
        verdict, places = (
            _attach_service(ref, key, route, rules, world, mesh)
            if to == "Service"
            else _attach_gateway(kind, ref, route, rules, world, attached[key])
        )
        yield ParentStatus(ref, (verdict, rules.resolved), tuple(dict.fromkeys(places)))


def _parent_key(ref: Object, namespace: str) -> tuple[str, Key]:
    kinds = {(GROUP, "Gateway"): "Gateway", ("", "Service"): "Service"}
    group = ref.get("group", GROUP)
    return kinds.get((group, ref.get("kind") or "Gateway"), ""), Key(ref.get("namespace") or namespace, ref["name"])


def _attach_gateway(
    kind: str, ref: Object, route: Object, rules: Rules, world: World, found: Sequence[_Attached]
) -> tuple[Condition, list[Place]]:
    namespace = meta(route).get("namespace", "")
    asked = [
        a
        for a in found
        if (not ref.get("sectionName") or a.listener.name == ref["sectionName"])
        and (ref.get("port") is None or a.listener.port == ref["port"])
    ]
    if not asked:
        return accepted("NoMatchingParent", "no listener has that name and port"), []
    labels = world.namespaces.get(namespace) or {}
    admitted = [a for a in asked if a.listener.admits(namespace, labels) and kind in a.listener.kinds]
    if not admitted:
        return accepted("NotAllowedByListeners", f"no listener admits {kind}s of this namespace"), []
    hosts = [(a, h, w) for a in admitted for h, w in _hostnames(a.listener.hostname, route["spec"].get("hostnames") or ())]
    if not hosts:
        return accepted("NoMatchingListenerHostname", "no hostname of the route is one of the listener's"), []
    places: list[Place] = []
    for at, hostname, wish in hosts:
        at.routes.add((kind, key_of(route)))
        # Who named the host more exactly goes first; the same host of a listener may be wished for as *.suffix, too.
        rank = tuple(-n for n in specificity(wish))
        at.hosts.setdefault(hostname, []).extend(((rank, *ranked), found) for ranked, found in rules.routes)
        if at.listener.valid:
            places.append(GatewayPlace(at.listener.gateway, at.listener.port))
    return accepted(), places


def _hostnames(listener: str, asked: Sequence[str]) -> list[tuple[str, str]]:
    """The hosts that a route gets of a listener, each with the hostname it asked with."""
    found: dict[str, str] = {}
    for wish in sorted(asked or ("",), key=specificity, reverse=True):
        if (host := intersect(listener, wish)) is not None:
            found.setdefault(host, wish)
    return list(found.items())


def _attach_service(
    ref: Object, key: Key, route: Object, rules: Rules, world: World, mesh: dict[PortKey, list[Ranked]]
) -> tuple[Condition, list[Place]]:
    if key.namespace != meta(route).get("namespace"):
        return accepted("NotAllowedByListeners", "rules for a Service must be in its own namespace"), []
    service = world.references.services.get(key)
    ports = [p for p in service.ports if p.protocol.is_http and ref.get("port") in (None, p.key.port)] if service else []
    if not ports or ref.get("sectionName"):
        return accepted("NoMatchingParent", f"Service {key} has no such HTTP port"), []
    for port in ports:
        mesh.setdefault(port.key, []).extend(rules.routes)
    return accepted(), [p.key for p in ports]


# Gateways and their ports


def _addresses(gateways: Sequence[Object], places: Places) -> dict[Key, tuple[str, Mapping[int, int]]]:
    """Each gateway's address and port mapping. The oldest that asks for none has the default; the rest come from the network."""
    result: dict[Key, tuple[str, Mapping[int, int]]] = {}
    taken = {str(ipaddress.IPv4Network(places.network)[-2])}  # of Ingresses
    for gateway in gateways:
        key, asked = key_of(gateway), _asked_address(gateway)
        if asked:
            result[key] = (asked, {})
        elif not any(mapping is places.ports for _, mapping in result.values()):
            result[key] = (places.address, places.ports)
        else:
            result[key] = (_free(places.network, str(key), taken), {})
        taken.add(result[key][0])
    return result


def _asked_address(gateway: Object) -> str:
    """An address of this machine that the gateway asks for."""
    for entry in gateway["spec"].get("addresses") or ():
        if (entry.get("type") or "IPAddress") == "IPAddress" and str(entry.get("value") or "").startswith("127."):
            return str(entry["value"])
    return ""


def _unusable(gateway: Object) -> bool:
    """Whether it asks for addresses, and none can be had."""
    return bool(gateway["spec"].get("addresses")) and not _asked_address(gateway)


def _free(network: str, name: str, taken: set[str]) -> str:
    """An address for ``name`` that stays the same as long as nobody with the same hash is older."""
    pool = ipaddress.IPv4Network(network)
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    size = pool.num_addresses - 2
    candidates = (str(pool[1 + (start + i) % size]) for i in range(size))
    return next((c for c in candidates if c not in taken), str(pool[1]))


def _ports(
    gateway: Key, found: Sequence[_Attached], address: str, mapping: Mapping[int, int], places: Places
) -> Iterator[GatewayPort]:
    by_port: dict[int, list[_Attached]] = {}
    for at in found:
        if at.listener.valid:
            by_port.setdefault(at.listener.port, []).append(at)
    for port, group in by_port.items():
        listen = mapping.get(port) or bindable_port(port, places.unprivileged_start)
        secure = group[0].listener.protocol == "HTTPS"
        yield GatewayPort(
            gateway=gateway,
            port=port,
            address=address,
            listen=listen,
            hosts=() if secure else _plain_hosts(group),
            servers=tuple(_server(at) for at in group) if secure else (),
        )


def _plain_hosts(group: Sequence[_Attached]) -> tuple[VirtualHost, ...]:
    """All hosts of a port. A host belongs to the most specific listener alone, even if that has no route for it."""
    names = [at.listener.hostname for at in group]
    hosts: dict[str, tuple[Route, ...]] = dict.fromkeys(names, ())
    for at in group:
        for hostname, ranked in at.hosts.items():
            if owner(hostname, names) == at.listener.hostname:
                hosts[hostname] = _sorted(ranked)
    return tuple(VirtualHost(name or "*", routes) for name, routes in sorted(hosts.items()))


def _server(at: _Attached) -> TlsServer:
    hosts = tuple(VirtualHost(name or "*", _sorted(ranked)) for name, ranked in sorted(at.hosts.items()))
    return TlsServer(at.listener.name, at.listener.hostname, at.listener.certificates, hosts)


def _gateway_status(
    gateway: Object, found: Sequence[_Attached], ports: Sequence[GatewayPort], place: tuple[str, Mapping[int, int]]
) -> GatewayStatus:
    valid = [at for at in found if at.listener.valid]
    invalid = [at.listener.name for at in found if not at.listener.valid]
    word = Condition("Accepted", bool(valid), "ListenersNotValid", f"not valid: {', '.join(invalid)}") if invalid else accepted()
    if _unusable(gateway):
        word = accepted("UnsupportedAddress", "only addresses of type IPAddress in 127.0.0.0/8 are supported")
    return GatewayStatus(
        generation=generation_of(gateway),
        address=place[0],
        urls=tuple(f"{'https' if p.servers else 'http'}://{p.address}:{p.listen}" for p in ports),
        conditions=(word,),
        listeners=tuple(
            ListenerStatus(
                name=at.listener.name,
                port=at.listener.port,
                attached=len(at.routes),
                kinds=at.listener.kinds,
                conditions=at.listener.conditions,
                bound=at.listener.valid and not _unusable(gateway),
            )
            for at in found
        ),
    )
