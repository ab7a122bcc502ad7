"""How a service is reached: its Service, its HTTPRoutes, and the Gateways they enter through."""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application, Service
from lateen.model.service import Route
from lateen.render.environment import expand
from lateen.render.names import labels, obj, selector, service_labels, slug

_APP_PROTOCOL = {"http": "http", "http2": "kubernetes.io/h2c", "grpc": "grpc", "tcp": "tcp", "tls": "tls"}
_MATCH = {"prefix": "PathPrefix", "exact": "Exact", "regex": "RegularExpression"}
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
    spec = {"selector": selector(app, name), "ports": ports}
    return [obj("v1", "Service", name, app=app, labels=service_labels(app, name), spec=spec)]


def gateways(app: Application) -> list[Object]:
    """The gateways that some route enters through."""
    used = {route.gateway for service in app.services.values() for route in service.routes}
    return [_gateway(app, name) for name in sorted(used)]


def _gateway(app: Application, name: str) -> Object:
    gateway = app.spec.gateways[name]
    listeners = [
        {
            "name": listener.protocol if len(gateway.listeners) == 1 else f"{listener.protocol}-{listener.port}",
            "port": listener.port,
            "protocol": listener.protocol.upper(),
            "allowedRoutes": {"namespaces": {"from": "Same"}},
        }
        for listener in gateway.listeners
    ]
    spec = {"gatewayClassName": gateway.class_, "listeners": listeners}
    return obj(GATEWAY_API, "Gateway", name, app=app, labels=labels(app, name, "gateway"), spec=spec)


def routes(app: Application, name: str) -> list[Object]:
    """One HTTPRoute for each gateway and host."""
    service = app.services[name]
    grouped: dict[tuple[str, str], list[Route]] = {}
    for route in service.routes:
        grouped.setdefault((route.gateway, expand(route.host or "", app)), []).append(route)
    return [_http_route(app, name, gateway, host, group) for (gateway, host), group in grouped.items()]


def _http_route(app: Application, name: str, gateway: str, host: str, group: list[Route]) -> Object:
    parts = [name, *([gateway] if gateway != "default" else []), *([slug(host.replace("*", "any"))] if host else [])]
    spec = {
        "parentRefs": [{"name": gateway}],
        **({"hostnames": [host]} if host else {}),
        "rules": [_rule(app.services[name], name, route) for route in group],
    }
    return obj(GATEWAY_API, "HTTPRoute", "-".join(parts), app=app, labels=service_labels(app, name), spec=spec)


def _rule(service: Service, name: str, route: Route) -> dict[str, Any]:
    port = service.ports[route.port or next(iter(service.ports))]
    return {
        "matches": [{"path": {"type": _MATCH[route.match], "value": route.path}}],
        "backendRefs": [{"name": name, "port": port.port}],
        **({"timeouts": {"request": _duration(route.timeout)}} if route.timeout is not None else {}),
    }


def _duration(value: float) -> str:
    """Gateway API's form of a duration (GEP-2257)."""
    whole, rest = divmod(round(value * 1000), 1000)
    text = "".join(
        f"{amount}{unit}" for amount, unit in ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s")) if amount
    )
    return (text + (f"{rest}ms" if rest else "")) or "0s"
