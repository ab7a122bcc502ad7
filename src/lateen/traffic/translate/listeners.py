"""The listeners of a Gateway: which are valid, which clash, which routes they admit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lateen.kube.meta import Key, Object, key_of
from lateen.kube.selectors import Labels, from_selector
from lateen.traffic.ir import Certificate
from lateen.traffic.translate.conditions import GROUP, Condition, accepted, resolved
from lateen.traffic.translate.references import References

PROTOCOLS = ("HTTP", "HTTPS")
ROUTE_KINDS = ("HTTPRoute", "GRPCRoute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One listener with its conditions; only a valid one is bound."""

    gateway: Key
    name: str
    port: int
    protocol: str
    hostname: str
    kinds: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    conditions: tuple[Condition, ...]
    allowed: Mapping[str, Any]

    @property
    def valid(self) -> bool:
        """Whether it can be bound."""
        return all((c.status is True) != (c.type == "Conflicted") for c in self.conditions)

    def admits(self, namespace: str, labels: Labels) -> bool:
        """Whether routes of a namespace may attach."""
        source = self.allowed.get("from") or "Same"
        if source == "Selector":
            return from_selector(self.allowed.get("selector"))(labels)
        return source == "All" or namespace == self.gateway.namespace


def listeners_of(gateway: Object, references: References) -> tuple[Listener, ...]:
    """Every listener of a gateway, in order."""
    entries = gateway["spec"].get("listeners") or ()
    return tuple(_listener(key_of(gateway), e, entries, references) for e in entries)


def _listener(gateway: Key, entry: Mapping[str, Any], others: Iterable[Mapping[str, Any]], references: References) -> Listener:
    kinds, kinds_ok = _kinds(entry)
    certificates, certificates_ok = _certificates(gateway, entry, references)
    supported = entry["protocol"] in PROTOCOLS
    conditions = (
        accepted() if supported else accepted("UnsupportedProtocol", f"{entry['protocol']} is none of {', '.join(PROTOCOLS)}"),
        _conflict(entry, others),
        next((c for c in (kinds_ok, certificates_ok) if not c.status), resolved()),
    )
    return Listener(
        gateway=gateway,
        name=entry["name"],
        port=int(entry["port"]),
        protocol=entry["protocol"],
        hostname=entry.get("hostname") or "",
        kinds=kinds if supported else (),
        certificates=certificates,
        conditions=conditions,
        allowed=(entry.get("allowedRoutes") or {}).get("namespaces") or {},
    )


def _kinds(entry: Mapping[str, Any]) -> tuple[tuple[str, ...], Condition]:
    asked = (entry.get("allowedRoutes") or {}).get("kinds") or ()
    if not asked:
        return ROUTE_KINDS, resolved()
    good = tuple(k["kind"] for k in asked if (k.get("group") or GROUP) == GROUP and k["kind"] in ROUTE_KINDS)
    bad = sorted({k["kind"] for k in asked} - set(good))
    return good, resolved("InvalidRouteKinds", f"not supported: {', '.join(bad)}") if bad else resolved()


def _certificates(gateway: Key, entry: Mapping[str, Any], references: References) -> tuple[tuple[Certificate, ...], Condition]:
    if entry["protocol"] != "HTTPS":
        return (), resolved()
    refs = (entry.get("tls") or {}).get("certificateRefs") or ()
    if not refs:
        return (), resolved("InvalidCertificateRef", "an HTTPS listener needs certificateRefs")
    found = [references.certificate(ref, gateway.namespace) for ref in refs]
    bad = next((f for f in found if isinstance(f, Condition)), None)
    return tuple(f for f in found if isinstance(f, Certificate)), bad or resolved()


def _conflict(entry: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> Condition:
    for other in others:
        if other["name"] == entry["name"] or other["port"] != entry["port"]:
            continue
        if other["protocol"] != entry["protocol"]:
            return Condition("Conflicted", True, "ProtocolConflict", f"listener {other['name']} speaks {other['protocol']} there")
        if (other.get("hostname") or "") == (entry.get("hostname") or ""):
            return Condition("Conflicted", True, "HostnameConflict", f"listener {other['name']} has the same hostname")
    return Condition("Conflicted", False, "NoConflicts")
