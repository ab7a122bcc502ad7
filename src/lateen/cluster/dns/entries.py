"""A Service and its EndpointSlices -> what DNS says of them. Pure; called by ``feed`` for each Service that changed.

Only ready endpoints have names (publishNotReadyAddresses makes them ready in their slice). Endpoints of a Service with a cluster
address have names as well: ``10-0-0-1.svc.ns.svc.cluster.local``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lateen.cluster.dns.data import Entry, Port, Target
from lateen.kube.meta import Object, key_of

_SENTINEL = Port("", "", 0)  # an endpoint without ports has a name all the same


def entry_of(service: Object, slices: Iterable[Object]) -> Entry:
    """What DNS says of ``service``."""
    spec, key = service.get("spec") or {}, key_of(service)
    if spec.get("type") == "ExternalName":
        return Entry(key=key, external=str(spec.get("externalName") or "").rstrip("."))
    addresses = [a for a in spec.get("clusterIPs") or [spec.get("clusterIP")] if a]
    headless = addresses == ["None"]
    return Entry(
        key=key,
        addresses=() if headless else tuple(addresses),
        ports=tuple(_port(p) for p in spec.get("ports") or ()),
        targets=_targets(slices),
        headless=headless,
    )


def _targets(slices: Iterable[Object]) -> tuple[Target, ...]:
    """Each address once, with the ports of all slices that have it."""
    found: dict[tuple[str, str], Target] = {}
    for target in (t for s in sorted(slices, key=key_of) for t in _of_slice(s)):
        place = (target.address, target.label)
        known = found.get(place)
        ports = tuple(dict.fromkeys((*known.ports, *target.ports))) if known else target.ports
        found[place] = Target(target.address, target.label, target.named, ports)
    return tuple(found.values())


def _of_slice(piece: Object) -> Iterator[Target]:
    if piece.get("addressType", "IPv4") not in ("IPv4", "IPv6"):
        return
    ports = tuple(_port(p) for p in piece.get("ports") or () if p.get("port")) or (_SENTINEL,)
    for endpoint in piece.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        name = str(endpoint.get("hostname") or "").lower()
        for address in endpoint.get("addresses") or ():
            yield Target(address, name or dashed(address), bool(name), ports)


def dashed(address: str) -> str:
    """An address as a label: 10.0.0.1 -> 10-0-0-1."""
    return address.replace(".", "-").replace(":", "-")


def _port(port: Object) -> Port:
    return Port((port.get("name") or "").lower(), str(port.get("protocol") or "TCP").lower(), int(port["port"]))
