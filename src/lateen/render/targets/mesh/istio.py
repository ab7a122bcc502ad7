"""Istio: strict mTLS, who may call whom by identity, and each caller's patience, told apart by the caller's own labels.

Gateways are the Gateway API's, which Istio runs as pods with an identity of their own, ``NAME-istio``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.model.network import Breaker, External, Retries
from lateen.render.names import labels, obj, selector, service_labels, slug
from lateen.render.security import account_name
from lateen.render.targets.mesh.edges import (
    HTTP,
    Edge,
    Way,
    breakers,
    duration,
    edges_to,
    metrics_port,
    number,
    passage,
    templates,
    users,
    ways,
)

_SECURITY, _NETWORKING, _TELEMETRY = "security.istio.io/v1", "networking.istio.io/v1", "telemetry.istio.io/v1"
_WHEN = {
    "connect": "connect-failure",
    "reset": "reset",
    "5xx": "5xx",
    "gateway": "gateway-error",
    "refused": "refused-stream",
    "unavailable": "unavailable",
}
_PROTOCOLS = {"http": "HTTP", "https": "HTTPS", "tls": "TLS", "tcp": "TCP"}


def joined(app: Application, objects: Sequence[Object]) -> list[Object]:
    """The objects, with a sidecar asked for in every pod that has a network of its own."""

    def change(workload: Object, template: dict[str, Any]) -> None:
        if not template["spec"].get("hostNetwork"):
            template["metadata"].setdefault("labels", {})["sidecar.istio.io/inject"] = "true"

    return templates(objects, change)


def objects(app: Application) -> list[Object]:
    """Istio's own."""
    found = [
        *passage(app, control="istio-system"),
        *_everywhere(app),
        *(o for e in _externals(app) for o in [_entry(app, e)]),
    ]
    for name, resource in app.spec.resources.items():
        if resource.class_ == "cluster" and users(app, name):
            rule = {"from": [_principals(app, users(app, name))], "to": _ports(resource.kind.port)}
            found.append(_policy(app, name, [rule], labels(app, name, "resource")))
    for name, service in app.services.items():
        if service.ports:
            found += [*_open_ports(app, name), *_allowed(app, name), *_tokens(app, name), *_routing(app, name), *_caps(app, name)]
    return found


def missing(app: Application) -> Iterator[str]:
    """What Istio cannot be told."""
    for name, service in app.services.items():
        if any(r.rate_limit is not None for r in service.routes):
            yield f"services.{name}.routes: rateLimit is an EnvoyFilter in Istio, which is not written"
        for way in ways(app, name):
            if way.anywhere:
                yield f"services.{name}.ports.{way.port_name}: reached from outside the mesh, so it takes connections without mTLS"
        if any(e.protocol == "udp" for e in service.external):
            yield f"services.{name}.external: Istio carries no UDP; it is let through"


def _everywhere(app: Application) -> list[Object]:
    def own(api_version: str, kind: str, name: str, spec: dict[str, Any]) -> Object:
        return obj(api_version, kind, name, app=app, labels=labels(app, name, "mesh"), spec=spec)

    found = [
        own(_SECURITY, "PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}),
        own(_SECURITY, "AuthorizationPolicy", "default-deny", {"action": "ALLOW"}),  # which matches nothing: all others are refused
    ]
    telemetry: dict[str, Any] = {"accessLogging": [{"filter": {"expression": "response.code >= 500"}}]}
    if any(s.observe.traces for s in app.services.values()):
        telemetry["tracing"] = [{"randomSamplingPercentage": 1}]
    return [*found, own(_TELEMETRY, "Telemetry", "default", telemetry)]


def _open_ports(app: Application, name: str) -> list[Object]:
    """Ports that are reached from outside the mesh take connections without mTLS too."""
    numbers = {number(w.port) for w in ways(app, name) if w.anywhere}
    if (metrics := metrics_port(app, name)) is not None:
        numbers.add(number(metrics))
    if not numbers:
        return []
    ports = {str(n): {"mode": "PERMISSIVE"} for n in sorted(numbers)}
    spec = {"selector": {"matchLabels": selector(app, name)}, "mtls": {"mode": "STRICT"}, "portLevelMtls": ports}
    return [obj(_SECURITY, "PeerAuthentication", name, app=app, labels=service_labels(app, name), spec=spec)]


def _allowed(app: Application, name: str) -> list[Object]:
    rules = [_rule(app, edge) for edge in edges_to(app, name)]
    rules += [rule for way in ways(app, name) for rule in _from_outside(app, way)]
    if (metrics := metrics_port(app, name)) is not None:
        rules.append({"to": _ports(number(metrics))})
    return [_policy(app, name, rules, service_labels(app, name))] if rules else []


def _rule(app: Application, edge: Edge) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if edge.restricted:
        parts = {k: v for k, v in (("methods", list(edge.need.methods)), ("paths", list(edge.need.paths))) if v}
    return {"from": [_principals(app, [edge.caller])], "to": _ports(number(edge.port), **parts)}


def _from_outside(app: Application, way: Way) -> Iterator[dict[str, Any]]:
    if way.anywhere:
        yield {"to": _ports(number(way.port))}
        return
    gateways = [f"*/ns/{app.namespace}/sa/{g}-istio" for g in way.gateways]
    free = [r for r in way.routes if r.auth is None]
    if free:
        yield {"from": [{"source": {"principals": gateways}}], "to": _ports(number(way.port))}
        return
    issuers = sorted({f"{r.auth.issuer}/*" for r in way.routes if r.auth is not None})
    yield {"from": [{"source": {"principals": gateways, "requestPrincipals": issuers}}], "to": _ports(number(way.port))}


def _principals(app: Application, names: Sequence[str]) -> dict[str, Any]:
    """Services by their identities, in whatever trust domain."""
    accounts = sorted({account_name(app, n) for n in names})
    return {"source": {"principals": [f"*/ns/{app.namespace}/sa/{a}" for a in accounts]}}


def _ports(port: int, **parts: Any) -> list[dict[str, Any]]:
    return [{"operation": {"ports": [str(port)], **parts}}]


def _policy(app: Application, name: str, rules: list[dict[str, Any]], of: dict[str, str]) -> Object:
    spec = {"selector": {"matchLabels": selector(app, name)}, "action": "ALLOW", "rules": rules}
    return obj(_SECURITY, "AuthorizationPolicy", name, app=app, labels=of, spec=spec)


def _tokens(app: Application, name: str) -> list[Object]:
    """What a JSON Web Token must be, where routes ask for one."""
    rules = []
    for route in app.services[name].routes:
        if (auth := route.auth) is not None:
            rule = {"issuer": auth.issuer, "jwksUri": auth.jwks, **({"audiences": list(auth.audiences)} if auth.audiences else {})}
            rules += [rule] if rule not in rules else []
    if not rules:
        return []
    spec = {"selector": {"matchLabels": selector(app, name)}, "jwtRules": rules}
    return [obj(_SECURITY, "RequestAuthentication", name, app=app, labels=service_labels(app, name), spec=spec)]


def _routing(app: Application, name: str) -> list[Object]:
    """Each caller's timeout and retries."""
    patient = [e for e in edges_to(app, name) if e.port.protocol in HTTP and (e.need.timeout is not None or e.need.retries)]
    if not patient:
        return []
    rules = [_http(app, e) for e in patient]
    ports = [p for p in app.services[name].ports.values() if p.protocol in HTTP]
    rules += [{"match": [{"port": p.port}], "route": [_destination(app, name, p.port)]} for p in ports]
    spec = {"hosts": [_host(app, name)], "http": rules}
    return [obj(_NETWORKING, "VirtualService", name, app=app, labels=service_labels(app, name), spec=spec)]


def _http(app: Application, edge: Edge) -> dict[str, Any]:
    match = {"port": edge.port.port, "sourceLabels": selector(app, edge.caller)}
    return {
        "name": f"from-{edge.caller}",
        "match": [match],
        "route": [_destination(app, edge.callee, edge.port.port)],
        **({"timeout": duration(edge.need.timeout)} if edge.need.timeout is not None else {}),
        **({"retries": _retries(edge.need.retries)} if edge.need.retries is not None else {}),
    }


def _retries(retries: Retries) -> dict[str, Any]:
    return {
        "attempts": retries.attempts,
        **({"perTryTimeout": duration(retries.per_try)} if retries.per_try is not None else {}),
        **(
            {"retryOn": ",".join([_WHEN[w] for w in retries.when]), "backoff": duration(retries.backoff)}
            if retries.attempts
            else {}
        ),
    }


def _causes(retries: Retries) -> dict[str, Any]:
    return {"retryOn": ",".join([_WHEN[w] for w in retries.when]), "backoff": duration(retries.backoff)}


def _destination(app: Application, name: str, port: int) -> dict[str, Any]:
    return {"destination": {"host": _host(app, name), "port": {"number": port}}}


def _host(app: Application, name: str) -> str:
    return f"{name}.{app.namespace}.svc.cluster.local"


def _caps(app: Application, name: str) -> list[Object]:
    """Each caller's circuit breaker, for its own pods only."""
    return [
        obj(
            _NETWORKING,
            "DestinationRule",
            f"{name}-from-{edge.caller}",
            app=app,
            labels=service_labels(app, name),
            spec={
                "host": _host(app, name),
                "workloadSelector": {"matchLabels": selector(app, edge.caller)},
                "trafficPolicy": _traffic(breaker),
            },
        )
        for edge, breaker in breakers(edges_to(app, name))
    ]


def _traffic(breaker: Breaker) -> dict[str, Any]:
    tcp = {"maxConnections": breaker.connections} if breaker.connections else {}
    http = {
        **({"http1MaxPendingRequests": breaker.pending} if breaker.pending else {}),
        **({"http2MaxRequests": breaker.requests} if breaker.requests else {}),
    }
    pool = {**({"tcp": tcp} if tcp else {}), **({"http": http} if http else {})}
    return {
        **({"connectionPool": pool} if pool else {}),
        "outlierDetection": {
            "consecutive5xxErrors": breaker.errors,
            "baseEjectionTime": duration(breaker.eject),
            "maxEjectionPercent": breaker.most,
        },
    }


def _externals(app: Application) -> list[External]:
    found: list[External] = []
    for service in app.services.values():
        found += [e for e in service.external if e not in found and e.protocol in _PROTOCOLS]
    return found


def _entry(app: Application, external: External) -> Object:
    """What is outside and called: it is reachable where the mesh lets out only what it knows."""
    place = external.host or external.cidr or ""
    name = f"{slug(place.replace('*', 'any'))}-{external.port}"
    port = {"number": external.port, "name": f"{external.protocol}-{external.port}", "protocol": _PROTOCOLS[external.protocol]}
    known = bool(external.host) and not place.startswith("*")
    spec = {
        "hosts": [external.host or f"{name}.external"],
        **({"addresses": [external.cidr]} if external.cidr else {}),
        "ports": [port],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS" if known else "NONE",
        "exportTo": ["."],
    }
    return obj(_NETWORKING, "ServiceEntry", name, app=app, labels=labels(app, name, "mesh"), spec=spec)
