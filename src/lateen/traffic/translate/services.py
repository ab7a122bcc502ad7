"""A Service and its EndpointSlices -> ``ir.Service``. Called by the controller for each service that changed.

Members are the endpoints that serve and do not terminate; a terminating one drains until its pod is gone. When no other
is left, those that still serve keep receiving requests, as kube-proxy has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lateen.kube.addresses import bindable_port
from lateen.kube.meta import Object, key_of, labels_of
from lateen.traffic.ir import Endpoint, Health, PortKey, Protocol, Service, ServicePort

SERVICE_LABEL = "kubernetes.io/service-name"
TRANSPORTS = {"TCP": "", "UDP": "udp"}
PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
_NAMED = {"http": Protocol.HTTP, "http2": Protocol.HTTP2, "h2c": Protocol.HTTP2, "grpc": Protocol.GRPC}
_DECLARED = {**_NAMED, "kubernetes.io/h2c": Protocol.HTTP2, "kubernetes.io/ws": Protocol.HTTP}


def protocol_of(port: Object) -> Protocol:
    """What is spoken: appProtocol decides, then the port's name up to its first dash; else TCP. Nothing is known of UDP."""
    if port.get("protocol") == "UDP":
        return Protocol.UDP
    declared = str(port.get("appProtocol") or "").lower()
    if declared:
        return _DECLARED.get(declared, Protocol.TCP)
    return _NAMED.get(str(port.get("name") or "").split("-")[0].lower(), Protocol.TCP)


def translate_service(
    service: Object, slices: Iterable[Object], *, unprivileged_start: int = 0, drained: frozenset[str] = frozenset()
) -> Service | None:
    """The service, or None if no proxy has anything to do with it (no TCP or UDP port, ExternalName, or
    a label that gives it to another proxy).

    ``drained`` are UIDs of pods that must not be a last resort any more.
    """
    spec = service.get("spec") or {}
    ports = [p for p in spec.get("ports") or () if _transport(p) is not None]
    if spec.get("type") == "ExternalName" or not ports or PROXY_LABEL in labels_of(service):
        return None
    key = key_of(service)
    ordered = sorted(slices, key=key_of)
    address = str(spec.get("clusterIP") or "")
    return Service(
        key=key,
        address="" if address == "None" else address,
        ports=tuple(
            ServicePort(
                key=PortKey(key.namespace, key.name, int(p["port"]), _transport(p) or ""),
                name=p.get("name") or "",
                protocol=protocol_of(p),
                listen=bindable_port(int(p["port"]), unprivileged_start),
                endpoints=_endpoints(ordered, p.get("name") or "", drained),
                sticky=spec.get("sessionAffinity") == "ClientIP",
            )
            for p in ports
        ),
        ready=len(_ready(ordered)) if spec.get("healthCheckNodePort") else 0,
    )


def _ready(slices: Iterable[Object]) -> set[str]:
    """Addresses that a load balancer may count on."""
    entries = [e for piece in slices for e in piece.get("endpoints") or ()]
    return {a for e in entries if (e.get("conditions") or {}).get("ready") is not False for a in e["addresses"][:1]}


def _transport(port: Mapping[str, Any]) -> str | None:
    """As a key has it; None for what is not carried."""
    return TRANSPORTS.get(port.get("protocol") or "TCP")


def through_doors(service: Service, doors: Mapping[tuple[str, int], str]) -> Service:
    """The service with the endpoints that have a door replaced by it: a socket's path."""
    ports = tuple(replace(p, endpoints=tuple(_door(e, doors) for e in p.endpoints)) for p in service.ports)
    return replace(service, ports=ports) if ports != service.ports else service


def _door(endpoint: Endpoint, doors: Mapping[tuple[str, int], str]) -> Endpoint:
    path = doors.get((endpoint.address, endpoint.port))
    return replace(endpoint, address=path) if path else endpoint


def open_outside(service: Service, spec: Mapping[str, Any], *, machine_ip: str, unprivileged_start: int) -> Service:
    """The service with the places where the machine's own programs reach it, as its type says."""
    address = balancer_address(spec)

    def places(port: ServicePort, declared: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        listen = bindable_port(port.key.port, unprivileged_start)
        if declared.get("nodePort"):
            yield machine_ip, int(declared["nodePort"])
        if address and address != service.address:
            yield address, listen
        yield from ((ip, listen) for ip in spec.get("externalIPs") or () if ":" not in ip)

    declared = {(int(p["port"]), _transport(p)): p for p in spec.get("ports") or ()}
    ports = tuple(replace(p, outside=tuple(places(p, declared[p.key.port, p.key.transport]))) for p in service.ports)
    health = (machine_ip, int(spec["healthCheckNodePort"])) if spec.get("healthCheckNodePort") else None
    return replace(service, ports=ports, health=health) if (ports, health) != (service.ports, service.health) else service


def balancer_address(spec: Mapping[str, Any]) -> str:
    """The machine's address for a Service of type LoadBalancer: its cluster address, moved to 127.0.0.0/8. '' for others, and for
    those that belong to another load balancer's class."""
    ip = str(spec.get("clusterIP") or "")
    if spec.get("type") != "LoadBalancer" or spec.get("loadBalancerClass") or ip in ("", "None"):
        return ""
    return ".".join(["127", *ip.split(".")[1:]])


def _endpoints(slices: Sequence[Object], port_name: str, drained: frozenset[str]) -> tuple[Endpoint, ...]:
    """Every endpoint of the named port, once per address; the better state wins when two slices differ."""
    found: dict[tuple[str, int], tuple[Endpoint, bool]] = {}
    for endpoint, serving in _candidates(slices, port_name):
        place = (endpoint.address, endpoint.port)
        known = found.get(place)
        if known is None or known[0].health is Health.DRAINING:
            found[place] = (endpoint, serving)
    if any(e.health is Health.HEALTHY for e, _ in found.values()):
        return tuple(e for e, _ in found.values())
    return tuple(_last_resort(e) if serving and e.pod not in drained else e for e, serving in found.values())


def _last_resort(endpoint: Endpoint) -> Endpoint:
    return Endpoint(endpoint.address, endpoint.port, Health.HEALTHY, endpoint.pod, endpoint.node)


def _candidates(slices: Sequence[Object], port_name: str) -> Iterator[tuple[Endpoint, bool]]:
    for piece in slices:
        if piece.get("addressType", "IPv4") != "IPv4":
            continue
        numbers = [int(p["port"]) for p in piece.get("ports") or () if (p.get("name") or "") == port_name and p.get("port")]
        for entry in piece.get("endpoints") or () if numbers else ():
            health, serving = _health(entry.get("conditions") or {})
            if health is not None and entry.get("addresses"):
                pod = str((entry.get("targetRef") or {}).get("uid") or "")
                yield Endpoint(str(entry["addresses"][0]), numbers[0], health, pod, str(entry.get("nodeName") or "")), serving


def _health(conditions: dict[str, Any]) -> tuple[Health | None, bool]:
    """(health, serving); health is None for an endpoint that is no member. Conditions that are not set mean ready."""
    ready = conditions.get("ready")
    serving = conditions.get("serving")
    serves = bool(ready or (serving if serving is not None else ready is not False))
    if conditions.get("terminating"):
        return Health.DRAINING, serves
    return (Health.HEALTHY if serves else None), serves
