"""Service addresses and node ports: who has which. Derived from the stored Services at start, then kept in step with every write.

Every decision is synchronous: between taking a value and storing the Service nothing else on the loop can take it. A write that
fails gives its values back.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable, Iterator
from typing import Any

from lateen.kube.meta import Object

NODE_PORTS = (30000, 32767)
_RESERVED = 16  # the first addresses are left for services that ask for one (DNS, kubernetes)


class ServiceAddresses:
    """The cluster addresses of one network and the node ports, by owner (namespace/name)."""

    def __init__(self, network: ipaddress.IPv4Network, node_ports: tuple[int, int] = NODE_PORTS) -> None:
        self.network, self.node_ports = network, node_ports
        self._ips: dict[str, str] = {}
        self._ports: dict[int, str] = {}
        self._next_ip, self._next_port = _RESERVED, random.randint(*node_ports)  # noqa: S311 # so that clusters of one machine seldom meet

    @property
    def first(self) -> str:
        """The address of the ``kubernetes`` Service."""
        return str(self.network[1])

    def load(self, services: Iterable[Object]) -> None:
        """Take what stored Services have."""
        for service in services:
            self.adopt(service)

    def adopt(self, service: Object) -> None:
        """Note what the Service holds."""
        owner = _owner(service)
        for ip in addresses_of(service):
            self._ips.setdefault(ip, owner)
        for port in ports_of(service):
            self._ports.setdefault(port, owner)

    def release(self, service: Object, *, keep: Object | None = None) -> None:
        """Give back what the Service holds, apart from what ``keep`` still holds."""
        owner = _owner(service)
        kept_ips = set(addresses_of(keep)) if keep else set()
        kept_ports = set(ports_of(keep)) if keep else set()
        for ip in addresses_of(service):
            if ip not in kept_ips and self._ips.get(ip) == owner:
                del self._ips[ip]
        for port in ports_of(service):
            if port not in kept_ports and self._ports.get(port) == owner:
                del self._ports[port]

    def take_ip(self, owner: str, wanted: str = "") -> str:
        """``wanted`` or a free address. ValueError with Kubernetes' words when it cannot be had."""
        if wanted:
            self._check_ip(owner, wanted)
            self._ips[wanted] = owner
            return wanted
        size = self.network.num_addresses - 1
        for _ in range(size):
            ip = str(self.network[self._next_ip])
            self._next_ip = self._next_ip + 1 if self._next_ip + 1 < size else _RESERVED
            if ip not in self._ips:
                self._ips[ip] = owner
                return ip
        raise ValueError("failed to allocate a serviceIP: range is full")

    def _check_ip(self, owner: str, wanted: str) -> None:
        try:
            address = ipaddress.ip_address(wanted)
        except ValueError as error:
            raise ValueError("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)") from error
        if address not in self.network:
            why = f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {self.network}"
            raise ValueError(f"failed to allocate IP {wanted}: {why}")
        if self._ips.get(wanted, owner) != owner:
            raise ValueError(f"failed to allocate IP {wanted}: provided IP is already allocated")

    def take_port(self, owner: str, wanted: int = 0) -> int:
        """``wanted`` or a free node port. ValueError likewise."""
        low, high = self.node_ports
        if wanted:
            if not low <= wanted <= high:
                raise ValueError(f"provided port is not in the valid range. The range of valid ports is {low}-{high}")
            if self._ports.get(wanted, owner) != owner:
                raise ValueError("provided port is already allocated")
            self._ports[wanted] = owner
            return wanted
        for _ in range(high - low + 1):
            port = self._next_port
            self._next_port = port + 1 if port < high else low
            if port not in self._ports:
                self._ports[port] = owner
                return port
        raise ValueError("failed to allocate a nodePort: range is full")


def _owner(service: Object) -> str:
    meta = service["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def addresses_of(service: Object) -> Iterator[str]:
    """The cluster addresses a Service holds."""
    ip = (service.get("spec") or {}).get("clusterIP")
    if ip and ip != "None":
        yield ip


def ports_of(service: Object) -> Iterator[int]:
    """The node ports a Service holds."""
    spec: dict[str, Any] = service.get("spec") or {}
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield int(port["nodePort"])
    if spec.get("healthCheckNodePort"):
        yield int(spec["healthCheckNodePort"])
