"""Linkerd: every port a Server that refuses whom no policy names; patience and breakers as annotations of the Service.

A Service's annotations are the same for all its callers, so where those differ the most patient one decides, and a note says so.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.model.container import Port
from lateen.model.network import Need
from lateen.render.names import labels, obj, selector, service_labels
from lateen.render.security import account_name
from lateen.render.targets.mesh.edges import (
    HTTP,
    SAME_FOR_ALL,
    Edge,
    Way,
    annotate,
    breakers,
    differing,
    duration,
    edges_to,
    metrics_port,
    number,
    passage,
    patience,
    templates,
    users,
    ways,
)

_GROUP = "policy.linkerd.io"
_SERVER, _ALPHA, _ROUTE = f"{_GROUP}/v1beta3", f"{_GROUP}/v1alpha1", f"{_GROUP}/v1beta3"
_PROXY = {"http": "HTTP/1", "http2": "HTTP/2", "grpc": "gRPC", "tls": "TLS", "tcp": "opaque", "udp": "opaque"}
_HTTP_CODES = {"5xx": "5xx", "gateway": "gateway-error"}
_ANYBODY = "anybody"
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def joined(app: Application, objects: Sequence[Object]) -> list[Object]:
    """The objects, with a proxy in every pod that has a network of its own, and what callers want on the Services."""

    def change(workload: Object, template: dict[str, Any]) -> None:
        if not template["spec"].get("hostNetwork"):
            annotate(template, {"linkerd.io/inject": "enabled", "config.linkerd.io/default-inbound-policy": "deny"})

    return [_service(app, o) for o in templates(objects, change)]


def _service(app: Application, found: Object) -> Object:
    name = found["metadata"]["name"]
    if found["kind"] != "Service" or name not in app.services or not (wanted := _annotations(app, name)):
        return found
    found = copy.deepcopy(found)
    annotate(found, wanted)
    return found


def _annotations(app: Application, name: str) -> dict[str, str]:
    callers = edges_to(app, name)
    found: dict[str, str] = {}
    if opaque := [str(p.port) for p in app.services[name].ports.values() if p.protocol == "tcp"]:
        found["config.linkerd.io/opaque-ports"] = ",".join(opaque)
    own = patience([e for e in callers if e.port.protocol in HTTP])
    if own.timeout is not None:
        found["timeout.linkerd.io/request"] = duration(own.timeout)
    if (retries := own.retries) is not None and retries.attempts:
        if codes := [_HTTP_CODES[w] for w in retries.when if w in _HTTP_CODES]:
            found["retry.linkerd.io/http"] = ",".join(codes)
        if "unavailable" in retries.when:
            found["retry.linkerd.io/grpc"] = "unavailable"
        if len(found) > bool(opaque) + (own.timeout is not None):
            found["retry.linkerd.io/limit"] = str(retries.attempts)
            if retries.per_try is not None:
                found["retry.linkerd.io/timeout"] = duration(retries.per_try)
    if capped := [b for _, b in breakers(callers)]:
        patient = max(capped, key=lambda b: b.errors)
        found["balancer.linkerd.io/failure-accrual"] = "consecutive"
        found["balancer.linkerd.io/failure-accrual-consecutive-max-failures"] = str(patient.errors)
        found["balancer.linkerd.io/failure-accrual-consecutive-min-penalty"] = duration(patient.eject)
    return found


def objects(app: Application) -> list[Object]:
    """Linkerd's own."""
    found = passage(app, control="linkerd", proxy_port=4143)
    if any(w.anywhere or w.gateways for n in app.services for w in ways(app, n)) or _probed(app):
        networks = {"networks": [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}]}
        mesh = labels(app, _ANYBODY, "mesh")
        found.append(obj(_ALPHA, "NetworkAuthentication", _ANYBODY, app=app, labels=mesh, spec=networks))
    for name, resource in app.spec.resources.items():
        if resource.class_ == "cluster" and users(app, name):
            of = labels(app, name, "resource")
            found += [
                _server(app, name, "main", resource.kind.port, "opaque", of),
                _callers(app, f"{name}-main", users(app, name), of),
                _policy(app, f"{name}-main", "Server", f"{name}-main", ("MeshTLSAuthentication", f"{name}-main"), of),
            ]
    for name, service in app.services.items():
        for port_name, port in service.ports.items():
            found += _port(app, name, port_name, port)
    return found


def _probed(app: Application) -> bool:
    return any(metrics_port(app, n) is not None for n in app.services) or any(_split(app, n) for n in app.services)


def _split(app: Application, name: str) -> bool:
    return any(e.restricted for e in edges_to(app, name))


def missing(app: Application) -> Iterator[str]:
    """What Linkerd cannot be told."""
    for name, service in app.services.items():
        callers = edges_to(app, name)
        if differing(callers):
            yield f"services.{name}: {SAME_FOR_ALL}"
        for edge, breaker in breakers(callers):
            if breaker.connections or breaker.pending or breaker.requests:
                yield f"services.{edge.caller}.needs.{name}.breaker: Linkerd counts no connections or requests, only failures"
        for way in ways(app, name):
            yield f"services.{name}.ports.{way.port_name}: gateways need not be in the mesh: whoever reaches the port may call"
        if any(r.auth is not None for r in service.routes):
            yield f"services.{name}.routes: auth is nothing that Linkerd checks"
        if service.external:
            yield f"services.{name}.external: Linkerd lets it through as it is; the NetworkPolicy decides"


def _port(app: Application, name: str, port_name: str, port: Port) -> Iterator[Object]:
    if port.transport == "UDP":
        return
    of, title = service_labels(app, name), f"{name}-{port_name}"
    callers = [e for e in edges_to(app, name) if e.port_name == port_name]
    way = next((w for w in ways(app, name) if w.port_name == port_name), None)
    yield _server(app, name, port_name, number(port), _PROXY[port.protocol], of)
    if any(e.restricted for e in callers):
        yield from _parts(app, title, callers, of)
    elif callers:
        yield _callers(app, title, [e.caller for e in callers], of)
        yield _policy(app, title, "Server", title, ("MeshTLSAuthentication", title), of)
    if way is not None or metrics_port(app, name) is port:
        yield _policy(app, f"{title}-{_ANYBODY}", "Server", title, ("NetworkAuthentication", _ANYBODY), of)
    if way is not None and (limit := _limit(app, title, way, of)) is not None:
        yield limit


def _parts(app: Application, title: str, callers: Sequence[Edge], of: dict[str, str]) -> Iterator[Object]:
    """Callers that use a part of the interface: a route for each part, and one for the rest, each with those who may use it. With
    a route on a Server, health checks are no longer let in unasked: their paths are routes, too."""
    all_of_it = [e.caller for e in callers if not e.restricted]
    parts: dict[str, list[Edge]] = {}
    for edge in callers:
        if edge.restricted:
            parts.setdefault(repr((edge.need.paths, edge.need.methods)), []).append(edge)
    for i, group in enumerate(parts.values()):
        yield from _part(app, title, f"part-{i}", _matches(group[0].need), [*(e.caller for e in group), *all_of_it], of)
    if all_of_it:
        yield from _part(app, title, "rest", [{"path": {"type": "PathPrefix", "value": "/"}}], all_of_it, of)
    if paths := _health_paths(app, callers[0].callee):
        matches = [{"path": {"type": "Exact", "value": path}, "method": "GET"} for path in paths]
        yield _route(app, f"{title}-health", title, matches, of)
        yield _policy(app, f"{title}-health", "HTTPRoute", f"{title}-health", ("NetworkAuthentication", _ANYBODY), of)


def _part(
    app: Application, server: str, part: str, matches: list[dict[str, Any]], callers: Sequence[str], of: dict[str, str]
) -> Iterator[Object]:
    title = f"{server}-{part}"
    yield _route(app, title, server, matches, of)
    yield _callers(app, title, callers, of)
    yield _policy(app, title, "HTTPRoute", title, ("MeshTLSAuthentication", title), of)


def _health_paths(app: Application, name: str) -> list[str]:
    health = app.services[name].health
    probes = [p for p in (health.ready, health.live, health.startup) if p is not None and p.get]
    return sorted({str(p.get).partition(":")[0] for p in probes})


def _matches(need: Need) -> list[dict[str, Any]]:
    paths = [_path(p) for p in need.paths] or [{"path": {"type": "PathPrefix", "value": "/"}}]
    return [{**path, "method": m} for path in paths for m in need.methods] if need.methods else paths


def _path(path: str) -> dict[str, Any]:
    if path.endswith("/*"):
        return {"path": {"type": "PathPrefix", "value": path[:-2] or "/"}}
    return {"path": {"type": "Exact", "value": path}}


def _route(app: Application, name: str, server: str, matches: list[dict[str, Any]], of: dict[str, str]) -> Object:
    parent = {"group": _GROUP, "kind": "Server", "name": server}
    return obj(_ROUTE, "HTTPRoute", name, app=app, labels=of, spec={"parentRefs": [parent], "rules": [{"matches": matches}]})


def _server(app: Application, name: str, port_name: str, port: int, protocol: str, of: dict[str, str]) -> Object:
    spec = {"podSelector": {"matchLabels": selector(app, name)}, "port": port, "proxyProtocol": protocol}
    return obj(_SERVER, "Server", f"{name}-{port_name}", app=app, labels=of, spec=spec)


def _callers(app: Application, name: str, callers: Sequence[str], of: dict[str, str]) -> Object:
    accounts = sorted({account_name(app, c) for c in callers})
    refs = [{"kind": "ServiceAccount", "name": a} for a in accounts]
    return obj(_ALPHA, "MeshTLSAuthentication", name, app=app, labels=of, spec={"identityRefs": refs})


def _policy(app: Application, name: str, kind: str, target: str, who: tuple[str, str], of: dict[str, str]) -> Object:
    spec = {
        "targetRef": {"group": _GROUP, "kind": kind, "name": target},
        "requiredAuthenticationRefs": [{"group": _GROUP, "kind": who[0], "name": who[1]}],
    }
    return obj(_ALPHA, "AuthorizationPolicy", name, app=app, labels=of, spec=spec)


def _limit(app: Application, title: str, way: Way, of: dict[str, str]) -> Object | None:
    """The smallest rate limit of the routes that lead here."""
    limits = [r.rate_limit for r in way.routes if r.rate_limit is not None]
    if not limits:
        return None
    by = {"total" if x.by == "all" else "identity": {"requestsPerSecond": max(1, x.requests // _SECONDS[x.per])} for x in limits}
    spec = {"targetRef": {"group": _GROUP, "kind": "Server", "name": title}, **by}
    return obj(_ALPHA, "HTTPLocalRateLimitPolicy", title, app=app, labels=of, spec=spec)
