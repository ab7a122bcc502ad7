"""Who may speak to whom: a NetworkPolicy that denies everything, and one per service that lets in what its callers declare.

Both ends are told: what a service ``needs`` is an egress rule of the caller and an ingress rule of the called.
"""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application, Service
from lateen.model.network import External
from lateen.render.names import PREFIX, labels, obj, selector, service_labels

_NETWORKING = "networking.k8s.io/v1"
_EVERYWHERE = "0.0.0.0/0"
_INSIDE = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
"""Addresses that are not on the internet: what a host name may not lead to."""
_TRACES = (4317, 4318)


def namespace_policies(app: Application) -> list[Object]:
    """Nothing is allowed but what is declared, and DNS."""
    if app.spec.policies.network == "open":
        return []
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    dns = {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            }
        ],
        "ports": [_port(53, "UDP"), _port(53, "TCP")],
    }
    names = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [dns]}
    return [
        obj(_NETWORKING, "NetworkPolicy", "default-deny", app=app, labels=labels(app, "default-deny", "network"), spec=deny),
        obj(_NETWORKING, "NetworkPolicy", "allow-dns", app=app, labels=labels(app, "allow-dns", "network"), spec=names),
    ]


def service_policy(app: Application, name: str) -> list[Object]:
    """What may come to the service, and where it may go."""
    if app.spec.policies.network == "open":
        return []
    service = app.services[name]
    ingress, egress = [*_callers(app, name), *_outside(service)], [*_called(app, name), *_beyond(service)]
    if not ingress and not egress:
        return []
    chosen = selector(app, name)
    pods: dict[str, Any] = {"matchLabels": chosen}
    if hooks := [f"{name}-{h}" for h in hook_names(service)]:
        del chosen[f"{PREFIX}/name"]
        pods["matchExpressions"] = [{"key": f"{PREFIX}/name", "operator": "In", "values": [name, *hooks]}]
    spec = {
        "podSelector": pods,
        "policyTypes": [t for t, rules in (("Ingress", ingress), ("Egress", egress)) if rules],
        **({"ingress": ingress} if ingress else {}),
        **({"egress": egress} if egress else {}),
    }
    return [obj(_NETWORKING, "NetworkPolicy", name, app=app, labels=service_labels(app, name), spec=spec)]


def resource_policy(app: Application, name: str) -> list[Object]:
    """What may come to a resource that runs in the cluster: the services that need it."""
    resource = app.spec.resources[name]
    who = [pods_of(app, c) for c in callers(app, name)]
    if app.spec.policies.network == "open" or resource.class_ != "cluster" or not who:
        return []
    rule = {"from": who, "ports": [_port(resource.kind.port, "TCP")]}
    spec = {"podSelector": {"matchLabels": selector(app, name)}, "policyTypes": ["Ingress"], "ingress": [rule]}
    return [obj(_NETWORKING, "NetworkPolicy", name, app=app, labels=labels(app, name, "resource"), spec=spec)]


def hook_names(service: Service) -> list[str]:
    """The hooks of a service that are pods of their own."""
    named = (("migrate", service.hooks.migrate), ("pre-sync", service.hooks.pre_sync), ("post-sync", service.hooks.post_sync))
    return [name for name, hook in named if hook is not None]


def callers(app: Application, name: str) -> list[str]:
    """The services that need ``name``."""
    return [n for n, s in app.services.items() if name in s.needs]


def pods_of(app: Application, name: str) -> dict[str, Any]:
    """A peer of a policy: the pods of a service, with those of its hooks."""
    service = app.services.get(name)
    hooks = [f"{name}-{h}" for h in hook_names(service)] if service is not None else []
    if not hooks:
        return {"podSelector": {"matchLabels": selector(app, name)}}
    instance = {f"{PREFIX}/instance": app.name}
    chosen = {"key": f"{PREFIX}/name", "operator": "In", "values": [name, *hooks]}
    return {"podSelector": {"matchLabels": instance, "matchExpressions": [chosen]}}


def _callers(app: Application, name: str) -> list[dict[str, Any]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for caller in callers(app, name):
        port = app.services[caller].needs[name].port
        found.setdefault((port,) if port else (next(iter(app.services[name].ports)),), []).append(caller)
    ports = app.services[name].ports
    return [
        {
            "from": [pods_of(app, c) for c in group],
            "ports": [_port(ports[p].target or ports[p].port, ports[p].transport) for p in named],
        }
        for named, group in found.items()
    ]


def _outside(service: Service) -> list[dict[str, Any]]:
    """From gateways and load balancers, wherever they are; from whoever reads metrics."""
    first = next(iter(service.ports), "")
    open_ports = {r.port or first for r in service.routes} | {n for n, p in service.ports.items() if p.public}
    numbers = sorted({(service.ports[n].target or service.ports[n].port, service.ports[n].transport) for n in open_ports if n})
    rules: list[dict[str, Any]] = [{"ports": [_port(*n) for n in numbers]}] if numbers else []
    if (metrics := service.observe.metrics) is not None:
        port = service.ports[metrics.port or first]
        rules.append({"from": [{"namespaceSelector": {}}], "ports": [_port(port.target or port.port, port.transport)]})
    return rules


def _called(app: Application, name: str) -> list[dict[str, Any]]:
    rules = []
    for needed, need in app.services[name].needs.items():
        if needed in app.services:
            ports = app.services[needed].ports
            port = ports[need.port or next(iter(ports))]
            rules.append({"to": [pods_of(app, needed)], "ports": [_port(port.target or port.port, port.transport)]})
        elif (resource := app.spec.resources.get(needed)) is not None:
            number = int(resource.outputs.get("port", resource.kind.port))
            peers = [pods_of(app, needed)] if resource.class_ == "cluster" else [{"ipBlock": {"cidr": _EVERYWHERE}}]
            rules.append({"to": peers, "ports": [_port(number, "TCP")]})
    return rules


def _beyond(service: Service) -> list[dict[str, Any]]:
    rules = [_external(e) for e in service.external]
    if service.identity.rbac:
        rules.append({"to": [{"ipBlock": {"cidr": _EVERYWHERE}}], "ports": [_port(443, "TCP"), _port(6443, "TCP")]})
    if service.observe.traces:
        rules.append({"to": [{"namespaceSelector": {}}], "ports": [_port(p, "TCP") for p in _TRACES]})
    return rules


def _external(external: External) -> dict[str, Any]:
    """A host name means the internet: a NetworkPolicy knows addresses only."""
    block = {"cidr": external.cidr} if external.cidr else {"cidr": _EVERYWHERE, "except": _INSIDE}
    return {"to": [{"ipBlock": block}], "ports": [_port(external.port, "UDP" if external.protocol == "udp" else "TCP")]}


def _port(number: int, transport: str) -> dict[str, Any]:
    return {"port": number, "protocol": transport}
