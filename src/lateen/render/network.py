"""How a service is reached: its Service, its HTTPRoutes, and the Gateways they enter through."""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application, Service
from lateen.model.container import Port
from lateen.model.network import Cors, HeaderRules, Listener, Retries, Route
from lateen.render.capabilities import CERT_MANAGER, Capabilities
from lateen.render.environment import expand
from lateen.render.names import labels, obj, seconds, selector, service_labels, slug

_APP_PROTOCOL = {"http": "http", "http2": "kubernetes.io/h2c", "grpc": "grpc", "tcp": "tcp", "tls": "tls"}
_MATCH = {"prefix": "PathPrefix", "exact": "Exact", "regex": "RegularExpression"}
_CODES = {"5xx": (500, 502, 503, 504), "gateway": (502, 503, 504), "unavailable": (503,)}
_ISSUER = "cert-manager.io/cluster-issuer"
GATEWAY_API = "gateway.networking.k8s.io/v1"


def service_object(app: Application, name: str) -> list[Object]:
    """The Service, if there are ports. Its target ports are names: a new version may move them without a gap."""
    service = app.services[name]
    if not service.ports:
        return []
    first: dict[tuple[int, str], str] = {}
    ports = []
    for port_name, port in service.ports.items():
        target = first.setdefault((port.target or port.port, port.transport), port_name)
        entry = {"name": port_name, "port": port.port, "targetPort": target, "protocol": port.transport}
        if protocol := _APP_PROTOCOL.get(port.protocol):
            entry["appProtocol"] = protocol
        ports.append(entry)
    labels = service_labels(app, name)
    objects = [obj("v1", "Service", name, app=app, labels=labels, spec={"selector": selector(app, name), "ports": ports})]
    if service.role == "stateful":  # stable names for its pods
        spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector(app, name), "ports": ports}
        objects.append(obj("v1", "Service", f"{name}-pods", app=app, labels=labels, spec=spec))
    if public := [p for p in ports if service.ports[str(p["name"])].public]:
        spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": selector(app, name), "ports": public}
        objects.append(obj("v1", "Service", f"{name}-public", app=app, labels=labels, spec=spec))
    return objects


def gateways(app: Application, having: Capabilities) -> list[Object]:
    """The gateways that some route enters through."""
    used = {route.gateway for service in app.services.values() for route in service.routes}
    return [_gateway(app, name, having) for name in sorted(used) if not app.spec.gateways[name].ingress]


def _gateway(app: Application, name: str, having: Capabilities) -> Object:
    gateway = app.spec.gateways[name]
    listeners = [_listener(found, alone=len(gateway.listeners) == 1) for found in gateway.listeners]
    listeners += [_secure(host, secret) for host, secret in _certificates(app, name).items()]
    spec = {"gatewayClassName": gateway.class_, "listeners": listeners}
    result = obj(GATEWAY_API, "Gateway", name, app=app, labels=labels(app, name, "gateway"), spec=spec)
    if gateway.issuer and CERT_MANAGER in having and _automatic(app, name):
        result["metadata"]["annotations"] = {_ISSUER: gateway.issuer}
    return result


def _listener(found: Listener, *, alone: bool) -> dict[str, Any]:
    return {
        "name": found.protocol if alone else f"{found.protocol}-{found.port}",
        "port": found.port,
        "protocol": found.protocol.upper(),
        **({"hostname": found.host} if found.host else {}),
        **({"tls": _terminate(found.tls)} if found.tls else {}),
        "allowedRoutes": {"namespaces": {"from": "Same"}},
    }


def _secure(host: str, secret: str) -> dict[str, Any]:
    """The listener for a host with a certificate of its own."""
    common = {"port": 443, "protocol": "HTTPS", "hostname": host, "tls": _terminate(secret)}
    return {"name": f"https-{slug(host)}"[:63].rstrip("-"), **common, "allowedRoutes": {"namespaces": {"from": "Same"}}}


def _terminate(secret: str) -> dict[str, Any]:
    return {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": secret}]}


def _certificates(app: Application, gateway: str) -> dict[str, str]:
    """The hosts of a gateway's routes that have TLS, and the Secrets of their certificates."""
    found: dict[str, str] = {}
    for service in app.services.values():
        for route in service.routes:
            if route.gateway == gateway and route.tls != "off" and route.host:
                host = expand(route.host, app)
                found[host] = route.tls if route.tls != "auto" else f"{slug(host)}-tls"
    return dict(sorted(found.items()))


def _automatic(app: Application, gateway: str) -> bool:
    return any(r.tls == "auto" and r.gateway == gateway for s in app.services.values() for r in s.routes)


def routes(app: Application, name: str, having: Capabilities) -> list[Object]:
    """One HTTPRoute (GRPCRoute where only gRPC is spoken), or Ingress, for each gateway and host."""
    service = app.services[name]
    grouped: dict[tuple[str, str], list[Route]] = {}
    for route in service.routes:
        grouped.setdefault((route.gateway, expand(route.host or "", app)), []).append(route)
    return [
        _ingress(app, name, gateway, host, group, having)
        if app.spec.gateways[gateway].ingress
        else _http_route(app, name, gateway, host, group)
        for (gateway, host), group in grouped.items()
    ]


def _title(name: str, gateway: str, host: str) -> str:
    parts = [name, *([gateway] if gateway != "default" else []), *([slug(host.replace("*", "any"))] if host else [])]
    return "-".join(parts)


def _ingress(app: Application, name: str, gateway: str, host: str, group: list[Route], having: Capabilities) -> Object:
    found, service = app.spec.gateways[gateway], app.services[name]
    paths = [
        {
            "path": route.path,
            "pathType": {"prefix": "Prefix", "exact": "Exact", "regex": "ImplementationSpecific"}[route.match],
            "backend": {"service": {"name": name, "port": {"name": route.port or next(iter(service.ports))}}},
        }
        for route in group
    ]
    secret = _certificates(app, gateway).get(host)
    spec = {
        "ingressClassName": found.class_,
        **({"tls": [{"hosts": [host], "secretName": secret}]} if secret else {}),
        "rules": [{**({"host": host} if host else {}), "http": {"paths": paths}}],
    }
    title = _title(name, gateway, host)
    result = obj("networking.k8s.io/v1", "Ingress", title, app=app, labels=service_labels(app, name), spec=spec)
    if secret and found.issuer and CERT_MANAGER in having and any(r.tls == "auto" for r in group):
        result["metadata"]["annotations"] = {_ISSUER: found.issuer}
    return result


def _http_route(app: Application, name: str, gateway: str, host: str, group: list[Route]) -> Object:
    service = app.services[name]
    kind = "GRPCRoute" if all(_port(service, r).protocol == "grpc" and r.path == "/" for r in group) else "HTTPRoute"
    secure = [r for r in group if r.tls != "off"]
    parent = {"name": gateway, **({"sectionName": f"https-{slug(host)}"[:63].rstrip("-")} if len(secure) == len(group) else {})}
    spec = {
        "parentRefs": [parent],
        **({"hostnames": [host]} if host else {}),
        "rules": [_rule(service, name, route) if kind == "HTTPRoute" else _grpc_rule(service, name, route) for route in group],
    }
    return obj(GATEWAY_API, kind, _title(name, gateway, host), app=app, labels=service_labels(app, name), spec=spec)


def _port(service: Service, route: Route) -> Port:
    return service.ports[route.port or next(iter(service.ports))]


def _grpc_rule(service: Service, name: str, route: Route) -> dict[str, Any]:
    return {"backendRefs": [{"name": name, "port": _port(service, route).port}]}


def _rule(service: Service, name: str, route: Route) -> dict[str, Any]:
    path = {"path": {"type": _MATCH[route.match], "value": route.path}}
    filters = _filters(route)
    times = {"request": gateway_duration(route.timeout)} if route.timeout is not None else {}
    if route.retries is not None and route.retries.per_try is not None:
        times["backendRequest"] = gateway_duration(route.retries.per_try)
    return {
        "matches": [{**path, "method": m} for m in route.methods] or [path],
        **({"filters": filters} if filters else {}),
        "backendRefs": [{"name": name, "port": _port(service, route).port}],
        **({"timeouts": times} if times else {}),
        **({"retry": retry(route.retries)} if route.retries is not None else {}),
    }


def _filters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for way, rules in (("request", route.headers.request), ("response", route.headers.response)):
        if changes := _headers(rules):
            field = f"{way}HeaderModifier"
            found.append({"type": field[0].upper() + field[1:], field: changes})
    if route.rewrite is not None:
        if route.match == "prefix":
            path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": route.rewrite}
        else:
            path = {"type": "ReplaceFullPath", "replaceFullPath": route.rewrite}
        found.append({"type": "URLRewrite", "urlRewrite": {"path": path}})
    if route.cors is not None:
        found.append({"type": "CORS", "cors": _cors(route.cors)})
    return found


def _headers(rules: HeaderRules) -> dict[str, Any]:
    named = {"set": rules.set, "add": rules.add}
    changes: dict[str, Any] = {k: [{"name": n, "value": v} for n, v in found.items()] for k, found in named.items() if found}
    return changes | ({"remove": list(rules.remove)} if rules.remove else {})


def _cors(cors: Cors) -> dict[str, Any]:
    return {
        "allowOrigins": list(cors.origins),
        "allowMethods": list(cors.methods),
        **({"allowHeaders": list(cors.headers)} if cors.headers else {}),
        **({"exposeHeaders": list(cors.expose)} if cors.expose else {}),
        **({"allowCredentials": True} if cors.credentials else {}),
        "maxAge": seconds(cors.max_age),
    }


def retry(retries: Retries) -> dict[str, Any]:
    """The ``retry`` of a rule of an HTTPRoute."""
    codes = sorted({code for when in retries.when for code in _CODES.get(when, ())})
    return {
        "attempts": retries.attempts,
        **({"codes": codes} if codes else {}),
        "backoff": gateway_duration(retries.backoff),
    }


def gateway_duration(value: float) -> str:
    """Gateway API's form of a duration (GEP-2257)."""
    whole, rest = divmod(round(value * 1000), 1000)
    text = "".join(
        f"{amount}{unit}" for amount, unit in ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s")) if amount
    )
    return (text + (f"{rest}ms" if rest else "")) or "0s"
