"""The address plan of a cluster, and which port can be bound. The one place where these rules stand.

Clusters of the loopback network share the machine's 127.0.0.0/8; one with a network of its own (``own``) has 10.x addresses, which
nobody outside it sees. Slices differ all the same, so that no address means two pods of one machine.
"""

from __future__ import annotations

import ipaddress

SLICES = 32
UNPRIVILEGED_OFFSET = 10000


def bindable_port(port: int, unprivileged_start: int) -> int:
    """The port that a proxy without privileges listens on for ``port``. ``unprivileged_start`` is 0 for a privileged one."""
    return port + UNPRIVILEGED_OFFSET if port < unprivileged_start else port


def pod_network(slice_number: int, *, own: bool = False) -> ipaddress.IPv4Network:
    """Where pods of the slice have their addresses."""
    return ipaddress.IPv4Network(f"{10 if own else 127}.{64 + slice_number}.0.0/16")


def service_network(slice_number: int, *, own: bool = False) -> ipaddress.IPv4Network:
    """Where Services of the slice have their cluster addresses."""
    return ipaddress.IPv4Network(f"{10 if own else 127}.{96 + slice_number}.0.0/16")


def gateway_network(slice_number: int) -> ipaddress.IPv4Network:
    """Where Gateways beside the default one have their addresses, on the machine: the last block of the services' network there."""
    return ipaddress.IPv4Network(f"127.{96 + slice_number}.255.0/24")
