"""Consul: intentions that name every caller and refuse the rest, what is spoken, each caller's limits, routers for patience.

A service in Consul has one port, the first; its identity is its ServiceAccount, which has its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.model.network import Auth, Breaker, Need
from lateen.render.names import PREFIX, labels, obj, service_labels, slug
from lateen.render.security import account_name
from lateen.render.targets.mesh.edges import (
    HTTP,
    SAME_FOR_ALL,
    Edge,
    annotate,
    breakers,
    differing,
    duration,
    edges,
    edges_to,
    passage,
    patience,
    templates,
    users,
    ways,
)

_API = "consul.hashicorp.com/v1alpha1"
_RETRY = {"reset": "reset", "5xx": "5xx", "gateway": "gateway-error", "refused": "refused-stream", "unavailable": "unavailable"}
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def joined(app: Application, objects: Sequence[Object]) -> list[Object]:
    """The objects, with a proxy in every pod that has a network of its own."""

    def change(workload: Object, template: dict[str, Any]) -> None:
        if template["spec"].get("hostNetwork"):
            return
        name = str((template["metadata"].get("labels") or {}).get(f"{PREFIX}/name") or workload["metadata"]["name"])
        wanted = {"consul.hashicorp.com/connect-inject": "true", "consul.hashicorp.com/connect-service": name}
        if (service := app.services.get(name)) is not None and service.ports:
            wanted["consul.hashicorp.com/connect-service-port"] = next(iter(service.ports))
        annotate(template, wanted)

    return templates(objects, change)


def objects(app: Application) -> list[Object]:
    """Consul's own."""
    found = passage(app, control="consul", proxy_port=20000)
    found += [_provider(app, name, auth) for name, auth in _providers(app).items()]
    for name, resource in app.spec.resources.items():
        if resource.class_ == "cluster" and users(app, name):
            of = labels(app, name, "resource")
            found.append(_defaults(app, name, {"protocol": "tcp"}, of))
            found.append(_intentions(app, name, [{"name": u, "action": "allow"} for u in users(app, name)], of))
    for name, service in app.services.items():
        of = service_labels(app, name)
        found.append(_defaults(app, name, _spec(app, name), of))
        if service.ports:
            found.append(_intentions(app, name, _sources(app, name), of))
            found += _router(app, name, of)
    return found


def missing(app: Application) -> Iterator[str]:
    """What Consul cannot be told."""
    for name, service in app.services.items():
        callers = edges_to(app, name)
        if differing(callers):
            yield f"services.{name}: {SAME_FOR_ALL}"
        for other in list(service.ports)[1:]:
            yield f"services.{name}.ports.{other}: a service in Consul has one port; this one is reached past the mesh"
        if account_name(app, name) != name:
            yield f"services.{name}.identity: Consul wants the ServiceAccount to have the service's name"
        if any(w.anywhere for w in ways(app, name)):
            yield f"services.{name}: what comes from outside the mesh needs an API gateway or terminating gateway of Consul"
        if service.external:
            yield f"services.{name}.external: needs a terminating gateway where Consul lets out only what it knows"
        for edge in callers:
            if edge.need.retries is not None and edge.need.retries.per_try is not None:
                yield f"services.{edge.caller}.needs.{name}.retries.perTry: Consul knows no time for one try"


def _first(app: Application, name: str) -> str:
    ports = app.services[name].ports
    return next(iter(ports.values())).protocol if ports else "tcp"


def _spec(app: Application, name: str) -> dict[str, Any]:
    """What the service speaks, and how it treats those it calls."""
    protocol = _first(app, name)
    own = [e for e in edges(app) if e.caller == name]
    overrides = [{"name": e.callee, **_limits(b)} for e, b in breakers(own)]
    rate = _rate(app, name)
    return {
        "protocol": protocol if protocol in HTTP else "tcp",
        **({"upstreamConfig": {"overrides": overrides}} if overrides else {}),
        **({"rateLimits": {"instanceLevel": rate}} if rate else {}),
    }


def _limits(breaker: Breaker) -> dict[str, Any]:
    limits = {
        "maxConnections": breaker.connections,
        "maxPendingRequests": breaker.pending,
        "maxConcurrentRequests": breaker.requests,
    }
    set_ones = {k: v for k, v in limits.items() if v}
    return {
        **({"limits": set_ones} if set_ones else {}),
        "passiveHealthCheck": {
            "maxFailures": breaker.errors,
            "interval": "10s",
            "baseEjectionTime": duration(breaker.eject),
            "maxEjectionPercent": breaker.most,
            "enforcingConsecutive5xx": 100,
        },
    }


def _rate(app: Application, name: str) -> dict[str, Any]:
    """The limits of its routes, each for its path; they count per pod."""
    routes = []
    for route in app.services[name].routes:
        if (limit := route.rate_limit) is not None:
            per_second = max(1, limit.requests // _SECONDS[limit.per])
            key = {"prefix": "pathPrefix", "exact": "pathExact", "regex": "pathRegex"}[route.match]
            routes.append({key: route.path, "requestsPerSecond": per_second, "requestsMaxBurst": limit.burst or per_second})
    return {"routes": routes} if routes else {}


def _sources(app: Application, name: str) -> list[dict[str, Any]]:
    found = [_source(app, e) for e in edges_to(app, name)]
    for way in ways(app, name):
        for gateway in way.gateways:
            source: dict[str, Any] = {"name": gateway}
            auths = [r.auth for r in way.routes if r.gateway == gateway]
            if all(auths):
                names = sorted({_provider_name(a) for a in auths if a is not None})
                providers = {"providers": [{"name": n} for n in names]}
                source["permissions"] = [{"action": "allow", "http": {"pathPrefix": "/"}, "jwt": providers}]
            else:
                source["action"] = "allow"
            found.append(source)
    return [*found, {"name": "*", "action": "deny"}]


def _source(app: Application, edge: Edge) -> dict[str, Any]:
    if not edge.restricted:
        return {"name": edge.caller, "action": "allow"}
    return {"name": edge.caller, "permissions": [*_permissions(edge.need), {"action": "deny", "http": {"pathPrefix": "/"}}]}


def _permissions(need: Need) -> Iterator[dict[str, Any]]:
    methods = {"methods": list(need.methods)} if need.methods else {}
    for path in need.paths or ["/*"]:
        part = {"pathPrefix": path[:-1]} if path.endswith("*") else {"pathExact": path}
        yield {"action": "allow", "http": {**part, **methods}}


def _router(app: Application, name: str, of: dict[str, str]) -> list[Object]:
    own = patience(edges_to(app, name))
    retries = own.retries
    if _first(app, name) not in HTTP or (own.timeout is None and retries is None):
        return []
    destination: dict[str, Any] = {"requestTimeout": duration(own.timeout)} if own.timeout is not None else {}
    if retries is not None and retries.attempts:
        destination["numRetries"] = retries.attempts
        if "connect" in retries.when:
            destination["retryOnConnectFailure"] = True
        if causes := [_RETRY[w] for w in retries.when if w in _RETRY]:
            destination["retryOn"] = causes
    route = {"match": {"http": {"pathPrefix": "/"}}, "destination": destination}
    return [obj(_API, "ServiceRouter", name, app=app, labels=of, spec={"routes": [route]})] if destination else []


def _defaults(app: Application, name: str, spec: dict[str, Any], of: dict[str, str]) -> Object:
    return obj(_API, "ServiceDefaults", name, app=app, labels=of, spec=spec)


def _intentions(app: Application, name: str, sources: list[dict[str, Any]], of: dict[str, str]) -> Object:
    if not any(s["name"] == "*" for s in sources):
        sources = [*sources, {"name": "*", "action": "deny"}]
    return obj(_API, "ServiceIntentions", name, app=app, labels=of, spec={"destination": {"name": name}, "sources": sources})


def _providers(app: Application) -> dict[str, Auth]:
    auths = [r.auth for s in app.services.values() for r in s.routes if r.auth is not None]
    return {_provider_name(a): a for a in auths}


def _provider_name(auth: Auth) -> str:
    return slug(auth.issuer.removeprefix("https://"))


def _provider(app: Application, name: str, auth: Auth) -> Object:
    spec = {
        "issuer": auth.issuer,
        "jsonWebKeySet": {"remote": {"uri": auth.jwks}},
        **({"audiences": list(auth.audiences)} if auth.audiences else {}),
    }
    return obj(_API, "JWTProvider", name, app=app, labels=labels(app, name, "mesh"), spec=spec)
