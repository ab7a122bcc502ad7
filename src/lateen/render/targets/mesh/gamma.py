"""Any mesh that takes the Gateway API's routes of Services (GAMMA): timeouts and retries.

Who may call is the NetworkPolicies' matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.render.names import obj, service_labels
from lateen.render.network import GATEWAY_API, gateway_duration, retry
from lateen.render.targets.mesh.edges import HTTP, SAME_FOR_ALL, Edge, breakers, differing, edges_to, patience


def joined(app: Application, objects: Sequence[Object]) -> list[Object]:
    """The objects as they are: how pods join is each mesh's own."""
    return list(objects)


def objects(app: Application) -> list[Object]:
    """A route for every port of a Service whose callers say how patient they are."""
    found = []
    for name in app.services:
        by_port: dict[str, list[Edge]] = {}
        for edge in edges_to(app, name):
            if edge.port.protocol in HTTP:
                by_port.setdefault(edge.port_name, []).append(edge)
        found += [o for port, group in by_port.items() for o in _route(app, name, port, group)]
    return found


def _route(app: Application, name: str, port: str, callers: Sequence[Edge]) -> Iterator[Object]:
    own, number, protocol = patience(callers), callers[0].port.port, callers[0].port.protocol
    if own.timeout is None and own.retries is None:
        return
    rule: dict[str, Any] = {"backendRefs": [{"name": name, "port": number}]}
    kind = "GRPCRoute" if protocol == "grpc" else "HTTPRoute"
    if kind == "HTTPRoute":
        times = {"request": gateway_duration(own.timeout)} if own.timeout is not None else {}
        if own.retries is not None and own.retries.per_try is not None:
            times["backendRequest"] = gateway_duration(own.retries.per_try)
        if times:
            rule["timeouts"] = times
        if own.retries is not None:
            rule["retry"] = retry(own.retries)
    parent = {"group": "", "kind": "Service", "name": name, "port": number}
    spec = {"parentRefs": [parent], "rules": [rule]}
    yield obj(GATEWAY_API, kind, f"{name}-{port}-mesh", app=app, labels=service_labels(app, name), spec=spec)


def missing(app: Application) -> Iterator[str]:
    """What the Gateway API has no words for."""
    for name in app.services:
        callers = edges_to(app, name)
        if differing(callers):
            yield f"services.{name}: {SAME_FOR_ALL}"
        for edge in callers:
            if edge.port.protocol == "grpc" and (edge.need.timeout is not None or edge.need.retries is not None):
                yield f"services.{edge.caller}.needs.{name}: GRPCRoutes have neither timeouts nor retries"
            if edge.restricted:
                yield f"services.{edge.caller}.needs.{name}: the Gateway API cannot say who may use which paths or methods"
        for edge, _ in breakers(callers):
            yield f"services.{edge.caller}.needs.{name}.breaker: the Gateway API knows none"
