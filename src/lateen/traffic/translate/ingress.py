"""Ingresses -> gateway ports and statuses, by way of the Gateway API: all of them together are written as one gateway with a route
per host, and ``gateways`` translates that. Called by the controller when an Ingress, its class, or a Service changed.

An Ingress is this controller's when its class is, or when it names none and the class is the default one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lateen.kube.meta import Key, Object, annotations_of, key_of, meta
from lateen.traffic.ir import GatewayPort
from lateen.traffic.translate.conditions import CONTROLLER as GATEWAY_CONTROLLER
from lateen.traffic.translate.conditions import GROUP, Condition, GatewayPlace, age
from lateen.traffic.translate.gateways import Places, Translated, World, translate_gateways
from lateen.traffic.translate.references import Grant, References

CONTROLLER = "lateen.dev/ingress-controller"
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_GATEWAY = Key("lateen.dev", "ingress")  # no namespace can be called so
_PARENT = {"group": GROUP, "kind": "Gateway", "namespace": _GATEWAY.namespace, "name": _GATEWAY.name}
_PLAIN, _SECURE = 80, 443
_KINDS = {"Exact": "Exact", "Prefix": "PathPrefix", "ImplementationSpecific": "PathPrefix"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressStatus:
    """``ports`` are where it is listened for, ``places`` what must be programmed for that; ``problems`` are for an event."""

    address: str
    ports: tuple[int, ...]
    places: tuple[GatewayPlace, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslatedIngresses:
    """What the snapshot gets, and the status of each Ingress of ours."""

    gateways: tuple[GatewayPort, ...] = ()
    statuses: Mapping[Key, IngressStatus] = field(default_factory=dict)


def ingress_address(places: Places) -> str:
    """Where Ingresses are listened for: the last address of the gateways' network."""
    return str(ipaddress.IPv4Network(places.network)[-2])


def translate_ingresses(
    ingresses: Iterable[Object], classes: Sequence[Object], references: References, places: Places
) -> TranslatedIngresses:
    """Everything. Pure."""
    mine = sorted((i for i in ingresses if _is_ours(i, classes)), key=age)
    if not mine:
        return TranslatedIngresses()
    address, secrets = ingress_address(places), _secrets(mine)
    routes = {key_of(i): tuple(_routes(i, references)) for i in mine}
    world = World(
        classes=[{"metadata": {"name": "ingress"}, "spec": {"controllerName": GATEWAY_CONTROLLER}}],
        gateways=[_gateway(address, secrets)],
        routes=[r for found in routes.values() for r in found],
        references=replace(references, grants=frozenset(_grant(s) for s in secrets.values())),
        places=places,
    )
    done = translate_gateways(world)
    names = {i: [key_of(r) for r in found] for i, found in routes.items()}
    return TranslatedIngresses(
        gateways=done.gateways,
        statuses={key_of(i): _status(i, names[key_of(i)], done, address) for i in mine},
    )


def _is_ours(ingress: Object, classes: Sequence[Object]) -> bool:
    ours = {meta(c)["name"]: c for c in classes if (c.get("spec") or {}).get("controller") == CONTROLLER}
    asked = ingress["spec"].get("ingressClassName") or annotations_of(ingress).get(_CLASS_ANNOTATION)
    if asked:
        return asked in ours
    return any(annotations_of(c).get(DEFAULT_CLASS) == "true" for c in ours.values())


# The gateway


def _secrets(ingresses: Iterable[Object]) -> dict[str, Key]:
    """The Secret of each host that speaks TLS ('' is every other one); the oldest Ingress has the say."""
    found: dict[str, Key] = {}
    for ingress in ingresses:
        for entry in ingress["spec"].get("tls") or ():
            for host in entry.get("hosts") or ("",):
                if entry.get("secretName"):
                    found.setdefault(host, Key(meta(ingress).get("namespace", ""), entry["secretName"]))
    return found


def _gateway(address: str, secrets: Mapping[str, Key]) -> Object:
    anybody = {"namespaces": {"from": "All"}}
    plain = {"name": "http", "port": _PLAIN, "protocol": "HTTP", "allowedRoutes": anybody}
    secure = [
        {
            "name": _section(host),
            "port": _SECURE,
            "protocol": "HTTPS",
            "hostname": host,
            "allowedRoutes": anybody,
            "tls": {"certificateRefs": [{"namespace": secret.namespace, "name": secret.name}]},
        }
        for host, secret in secrets.items()
    ]
    spec = {"gatewayClassName": "ingress", "addresses": [{"value": address}], "listeners": [plain, *secure]}
    return {"metadata": _GATEWAY._asdict(), "spec": spec}


def _section(host: str) -> str:
    return f"https/{host or '*'}"


def _grant(secret: Key) -> Grant:
    return Grant((GROUP, "Gateway", _GATEWAY.namespace), ("", "Secret", secret.namespace), secret.name)


# The routes


def _routes(ingress: Object, references: References) -> Iterator[Object]:
    """A route for each host, and one for all hosts if there is a default backend. What no rule wants is the default backend's."""
    spec, namespace = ingress["spec"], meta(ingress).get("namespace", "")
    default = spec.get("defaultBackend")
    hosts: dict[str, list[Object]] = {"": []} if default else {}
    for entry in spec.get("rules") or ():
        paths = (entry.get("http") or {}).get("paths") or ([{"backend": default}] if default else ())
        hosts.setdefault(entry.get("host") or "", []).extend(paths)
    for number, (host, paths) in enumerate(hosts.items()):
        every = [*paths, {"backend": default}] if default else paths
        rules = [_rule(path, host, namespace, references) for path in every]
        spec = {"parentRefs": [_PARENT], "rules": rules} | ({"hostnames": [host]} if host else {})
        yield {"metadata": {**meta(ingress), "name": f"{meta(ingress)['name']}/{number}"}, "spec": spec}


def _rule(path: Object, host: str, namespace: str, references: References) -> Object:
    match: Object = {"path": {"type": _KINDS[path.get("pathType") or "Prefix"], "value": path.get("path") or "/"}}
    if host.startswith("*."):  # of an Ingress it stands for one label, of a Gateway for any number
        pattern = rf"[^.]+{re.escape(host[1:])}(:[0-9]+)?"
        match["headers"] = [{"name": ":authority", "type": "RegularExpression", "value": pattern}]
    return {"matches": [match], "backendRefs": [_backend(path["backend"], namespace, references)]}


def _backend(backend: Object, namespace: str, references: References) -> Object:
    """As a route has it; a port's name becomes its number, where there is one of that name."""
    if "service" not in backend:
        resource = backend.get("resource") or {}
        return {"group": resource.get("apiGroup") or "", "kind": resource.get("kind") or "?", "name": resource.get("name") or ""}
    name, port = backend["service"]["name"], backend["service"].get("port") or {}
    service = references.services.get(Key(namespace, name))
    named = {p.name: p.key.port for p in service.ports if not p.key.transport} if service else {}
    asked = port.get("name")
    return {"name": name, "port": named.get(asked, asked) if asked else port.get("number")}


# Statuses


def _status(ingress: Object, routes: Sequence[Key], done: Translated, address: str) -> IngressStatus:
    sections = {_section(h) for t in ingress["spec"].get("tls") or () for h in t.get("hosts") or ("",)}
    secure = [x for x in done.gateway_statuses[_GATEWAY].listeners if x.name in sections]
    wanted = (_PLAIN, _SECURE) if any(x.bound for x in secure) else (_PLAIN,)
    said = [c for x in secure for c in x.conditions if c.type == "ResolvedRefs"]
    said += [c for r in routes if r in done.route_statuses for p in done.route_statuses[r].parents for c in p.conditions]
    return IngressStatus(
        address=address,
        ports=tuple(g.listen for g in done.gateways if g.port in wanted),
        places=tuple(GatewayPlace(_GATEWAY, port) for port in wanted),
        problems=tuple(dict.fromkeys(_words(c) for c in said if not c.status)),
    )


def _words(condition: Condition) -> str:
    return f"{condition.reason}: {condition.message}"
