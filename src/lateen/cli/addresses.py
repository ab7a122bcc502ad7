"""Where public ports of services are reached from outside: the addresses that their load balancers got."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lateen.errors import NotFoundError
from lateen.kube.addresses import bindable_port
from lateen.kube.meta import Object
from lateen.kube.resources import SERVICES

if TYPE_CHECKING:
    from lateen.client import Client
    from lateen.model import Application

_SCHEMES = {"http": "http://", "http2": "http://", "grpc": "http://", "tls": "https://"}


async def public(client: Client, application: Application, *, embedded: bool) -> dict[str, list[str]]:
    """Addresses by service; a port that speaks HTTP as a URL. What has no address yet is left out."""
    found: dict[str, list[str]] = {}
    for name, service in application.services.items():
        if any(port.public for port in service.ports.values()):
            try:
                balancer = await client.get(SERVICES, f"{name}-public", application.namespace)
            except NotFoundError:
                continue
            protocols = {n: p.protocol for n, p in service.ports.items()}
            if addresses := list(_addresses(balancer, protocols, _start() if embedded else 0)):
                found[name] = addresses
    return found


def _addresses(balancer: Object, protocols: Mapping[str, str], unprivileged_start: int) -> Iterator[str]:
    for ingress in ((balancer.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        host = ingress.get("ip") or ingress.get("hostname")
        for port in balancer["spec"]["ports"] if host else ():
            number = bindable_port(int(port["port"]), unprivileged_start)
            yield f"{_SCHEMES.get(protocols.get(port['name'], ''), '')}{host}:{number}"


def _start() -> int:
    """The first port that the embedded cluster's proxies may bind."""
    from lateen.cluster.boot import unprivileged_start

    return unprivileged_start()
