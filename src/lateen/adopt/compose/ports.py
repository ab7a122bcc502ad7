"""Ports of a Compose service: what others in the file reach (``expose``, the container's port), and what is published."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lateen.adopt.compose.values import items, text
from lateen.adopt.nodes import made
from lateen.adopt.software import Software, protocol_of
from lateen.kube.yamltext import Node, fault

_SHORT = re.compile(
    r"(?:(?P<ip>\[[^\]]*\]|\d+(?:\.\d+){3}|localhost):)?(?:(?P<outer>\d+(?:-\d+)?)?:)?(?P<inner>\d+(?:-\d+)?)(?:/(?P<proto>tcp|udp))?"
)
_SPOKEN = {
    "http": "http",
    "https": "tls",
    "http2": "http2",
    "h2c": "http2",
    "grpc": "grpc",
    "tcp": "tcp",
    "tls": "tls",
    "udp": "udp",
}


@dataclass(frozen=True, slots=True)
class Mapped:
    """A port of the container, the port it is published as (0: not), and what is spoken, where the file says it."""

    target: int
    published: int
    udp: bool
    spoken: str
    place: Node
    name: str = ""


def mapped(service: Node) -> list[Mapped]:
    """Every port that the service names, each as often as it is published."""
    found = [one for node in items(service.get("ports")) for one in _published(node)]
    for node in items(service.get("expose")):
        number, _, proto = text(node).partition("/")
        found += [Mapped(n, 0, proto == "udp", "", node) for n in _numbers(number, node)]
    return found


def _published(node: Node) -> Iterator[Mapped]:
    if isinstance(node.data, dict):
        target, published = (text(node.get(k)) for k in ("target", "published"))
        inner, outer = _numbers(target, node), _numbers(published or target, node)
        spoken, udp = text(node.get("app_protocol")).lower(), text(node.get("protocol")) == "udp"
        name = text(node.get("name"))
    else:
        match = _SHORT.fullmatch(text(node))
        if match is None:
            raise fault(f"{text(node)!r} is not a port: write for example 8080:80", node.mark)
        inner, outer = _numbers(match["inner"], node), _numbers(match["outer"] or match["inner"], node)
        spoken, udp, name = "", match["proto"] == "udp", ""
    if len(inner) == 1 and len(outer) > 1:
        outer = outer[:1]  # Compose takes a free one of the range
    if len(inner) != len(outer):
        raise fault("both ranges of ports must be of one length", node.mark)
    for number, outside in zip(inner, outer, strict=True):
        yield Mapped(number, outside, udp, _SPOKEN.get(spoken, "tcp") if spoken else "", node, name)


def _numbers(given: str, node: Node) -> list[int]:
    low, _, high = given.partition("-")
    if not low.isdigit() or (high and not high.isdigit()):
        raise fault(f"{given!r} is not a port", node.mark)
    first, last = int(low), int(high or low)
    if not 1 <= first <= last <= 65535 or last - first > 100:
        raise fault(f"{given!r} is not a range of ports", node.mark)
    return list(range(first, last + 1))


def ports(found: Iterable[Mapped], software: Software | None, called: dict[int, str], place: Node) -> dict[str, Node]:
    """The service's ports by name. ``called`` are the numbers that other services call it by, and what they speak."""
    known = list(found)
    inside = {(m.target, m.udp): m for m in reversed(known)}
    listed = list(dict.fromkeys((m.target, m.udp) for m in known))
    listed += [(n, False) for n, _ in (software.ports if software else ())] + [(n, False) for n in called]
    result: dict[str, Node] = {}
    taken: set[tuple[int, bool]] = set()
    for number, udp in dict.fromkeys(listed):
        one = inside.get((number, udp))
        spoken = "udp" if udp else (one.spoken if one else "") or called.get(number, "") or protocol_of(number, software)
        same = any(m.published == number for m in known if (m.target, m.udp) == (number, udp))
        name = _name(one.name if one else "", spoken, number, result)
        result[name] = made(_entry(number, number, spoken, public=same), one.place if one else place)
        taken.add((number, udp))
        for m in known:
            if (m.target, m.udp) == (number, udp) and m.published and (m.published, udp) not in taken:
                taken.add((m.published, udp))
                result[f"public-{m.published}"] = made(_entry(m.published, number, spoken, public=True), m.place)
    return result


def _entry(port: int, target: int, spoken: str, *, public: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"port": port}
    if target != port:
        entry["target"] = target
    if spoken != "http":
        entry["protocol"] = spoken
    if public:
        entry["public"] = True
    return entry


def _name(given: str, spoken: str, number: int, taken: dict[str, Node]) -> str:
    wanted = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")[:15].strip("-")
    if wanted and wanted not in taken and re.search("[a-z]", wanted):
        return wanted
    return spoken if spoken not in taken else f"{spoken}-{number}"
