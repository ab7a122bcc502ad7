"""What every mesh must be told of an application, in no mesh's words: who calls whom, on which port, and how."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.model.container import Port
from lateen.model.network import Breaker, Need, Retries, Route
from lateen.render.names import PREFIX, labels, obj

HTTP = ("http", "http2", "grpc")
"""Protocols whose requests a mesh can tell apart."""
SAME_FOR_ALL = "this mesh does not tell its callers apart: the most patient one decides timeout and retries"
_TEMPLATES = ("Deployment", "StatefulSet", "DaemonSet", "Job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A service's ``need`` of another one, at that one's port."""

    caller: str
    callee: str
    need: Need
    port_name: str
    port: Port

    @property
    def restricted(self) -> bool:
        """Whether the caller uses a part of the interface only."""
        return bool(self.need.paths or self.need.methods) and self.port.protocol in HTTP


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Ways in from outside to one port: through gateways of the Gateway API, or from anywhere (Ingress, load balancer)."""

    port_name: str
    port: Port
    routes: tuple[Route, ...]
    gateways: tuple[str, ...]
    anywhere: bool


def number(port: Port) -> int:
    """Where the application listens."""
    return port.target or port.port


def edges_to(app: Application, callee: str) -> list[Edge]:
    """Who calls a service."""
    ports = app.services[callee].ports
    found = []
    for caller, service in app.services.items():
        if (need := service.needs.get(callee)) is not None and ports:
            name = need.port or next(iter(ports))
            found.append(Edge(caller=caller, callee=callee, need=need, port_name=name, port=ports[name]))
    return found


def edges(app: Application) -> Iterator[Edge]:
    """Every call between services."""
    for name in app.services:
        yield from edges_to(app, name)


def users(app: Application, resource: str) -> list[str]:
    """The services that need a resource."""
    return [n for n, s in app.services.items() if resource in s.needs]


def ways(app: Application, name: str) -> list[Way]:
    """The ways in to a service, by port."""
    service = app.services[name]
    found = []
    for port_name, port in service.ports.items():
        routes = tuple(r for r in service.routes if (r.port or next(iter(service.ports))) == port_name)
        by_gateway = {r.gateway for r in routes if not app.spec.gateways[r.gateway].ingress}
        anywhere = port.public or any(app.spec.gateways[r.gateway].ingress for r in routes)
        if routes or anywhere:
            found.append(Way(port_name=port_name, port=port, routes=routes, gateways=tuple(sorted(by_gateway)), anywhere=anywhere))
    return found


def metrics_port(app: Application, name: str) -> Port | None:
    """The port that whoever collects metrics reads."""
    service = app.services[name]
    if service.observe.metrics is None or not service.ports:
        return None
    return service.ports[service.observe.metrics.port or next(iter(service.ports))]


@dataclass(frozen=True, slots=True)
class Patience:
    """How one caller, or all of them, treat a service."""

    timeout: float | None
    retries: Retries | None


def patience(group: Iterable[Edge]) -> Patience:
    """What suits every caller, where a mesh cannot tell them apart: the longest time, the most tries. None wherever one caller sets
    nothing."""
    needs = [edge.need for edge in group]
    timeouts = [n.timeout for n in needs]
    tries = [n.retries for n in needs]
    longest = None if not needs or None in timeouts else max(t for t in timeouts if t is not None)
    most = None if not needs or None in tries else max((r for r in tries if r is not None), key=lambda r: r.attempts)
    return Patience(longest, most)


def differing(group: Sequence[Edge]) -> bool:
    """Whether callers want different times or tries."""
    return len({(e.need.timeout, repr(e.need.retries)) for e in group}) > 1


def breakers(group: Iterable[Edge]) -> list[tuple[Edge, Breaker]]:
    """The callers that stop sending to what fails."""
    return [(e, e.need.breaker) for e in group if e.need.breaker is not None]


def templates(objects: Sequence[Object], change: Callable[[Object, dict[str, Any]], None]) -> list[Object]:
    """The objects, with ``change(workload, pod template)`` made to a copy of every workload of lateen's."""
    found = []
    for one in objects:
        if one["kind"] in (*_TEMPLATES, "CronJob") and one["metadata"].get("labels", {}).get(f"{PREFIX}/managed-by") == "lateen":
            copied = copy.deepcopy(one)
            spec = copied["spec"]["jobTemplate"]["spec"] if copied["kind"] == "CronJob" else copied["spec"]
            change(copied, spec["template"])
            found.append(copied)
        else:
            found.append(one)
    return found


def annotate(template: dict[str, Any], annotations: dict[str, str]) -> None:
    """Add annotations to a pod template; the user's own win."""
    metadata = template.setdefault("metadata", {})
    metadata["annotations"] = {**annotations, **(metadata.get("annotations") or {})}


def duration(value: float) -> str:
    """Seconds as Go, protobuf and Consul write them: 10s, 300ms."""
    return f"{round(value)}s" if float(value).is_integer() else f"{round(value * 1000)}ms"


def passage(app: Application, *, control: str, proxy_port: int | None = None) -> list[Object]:
    """The NetworkPolicy that lets proxies reach their control plane in the namespace ``control``, and each other where they meet on
    a port of their own: there, the mesh itself decides who may call whom."""
    if app.spec.policies.network == "open":
        return []
    egress: list[dict[str, Any]] = [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": control}}}]}]
    pods = {"matchLabels": {f"{PREFIX}/instance": app.name}}
    spec: dict[str, Any] = {"podSelector": pods, "policyTypes": ["Egress"], "egress": egress}
    if proxy_port is not None:
        peers, ports = [{"podSelector": pods}], [{"port": proxy_port, "protocol": "TCP"}]
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["ingress"] = [{"from": peers, "ports": ports}]
        egress.append({"to": peers, "ports": ports})
    return [
        obj("networking.k8s.io/v1", "NetworkPolicy", "allow-mesh", app=app, labels=labels(app, "allow-mesh", "network"), spec=spec)
    ]
