"""What the DNS server knows of the cluster, as plain values that cross a socket. Made by ``entries``, read by ``zone``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lateen.kube.meta import Key


@dataclass(frozen=True, slots=True)
class Port:
    """A port as SRV names it; ``protocol`` is in lower case."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint. ``label`` is its host name under the Service; ``named``: the pod chose it, and its address leads back."""

    address: str
    label: str
    named: bool
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A Service. ``external`` is where an ExternalName points to; ``headless`` ones answer with ``targets``."""

    key: Key
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    targets: tuple[Target, ...] = ()
    headless: bool = False
    external: str = ""

    def wire(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def entry(wire: Mapping[str, Any]) -> Entry:
    """The reverse of ``Entry.wire``."""
    targets = (Target(t["address"], t["label"], t["named"], _ports(t["ports"])) for t in wire["targets"])
    return Entry(
        key=Key(*wire["key"]),
        addresses=tuple(wire["addresses"]),
        ports=_ports(wire["ports"]),
        targets=tuple(targets),
        headless=wire["headless"],
        external=wire["external"],
    )


def _ports(wire: list[dict[str, Any]]) -> tuple[Port, ...]:
    return tuple(Port(**p) for p in wire)
