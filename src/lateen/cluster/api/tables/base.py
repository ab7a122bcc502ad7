"""Columns, cells and the helpers that every family uses. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lateen.kube.meta import Object, parse_time

Cell = Callable[[Object, datetime], Any]
NONE, UNKNOWN = "<none>", "<unknown>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``priority`` 1 shows only with ``-o wide``."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """The entry in columnDefinitions."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def human_duration(seconds: float) -> str:
    """``90s``, ``5m3s``, ``3h``, ``2d5h``, ``3y20d``: two units where the second still tells something, as Kubernetes prints
    ages."""
    s = int(seconds)
    if s < -1:
        return "<invalid>"
    if s < 0:
        return "0s"
    m, h = s // 60, s // 3600
    if s < 120:
        return f"{s}s"
    if m < 10:
        return _two(m, "m", s % 60, "s")
    if m < 180:
        return f"{m}m"
    if h < 8:
        return _two(h, "h", m % 60, "m")
    if h < 48:
        return f"{h}h"
    if h < 192:
        return _two(h // 24, "d", h % 24, "h")
    if h < 24 * 365 * 2:
        return f"{h // 24}d"
    if h < 24 * 365 * 8:
        return _two(h // 8760, "y", h // 24 % 365, "d")
    return f"{h // 8760}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def since(text: str | None, now: datetime) -> str:
    """The age of a timestamp."""
    return human_duration((now - parse_time(text)).total_seconds()) if text else UNKNOWN


def dig(obj: Any, *path: str) -> Any:
    """The value at ``path``, None where it ends early."""
    for part in path:
        obj = obj.get(part) if isinstance(obj, Mapping) else None
    return obj


def at(*path: str, default: Any = "") -> Cell:
    """A cell that shows the value at ``path``."""

    def cell(obj: Object, _: datetime) -> Any:
        found = dig(obj, *path)
        return default if found is None or found == "" else found

    return cell


def number(*path: str) -> Cell:
    """A cell that shows an integer."""
    return at(*path, default=0)


def count(*path: str) -> Cell:
    """A cell that shows how many entries are there."""
    return lambda obj, _: len(dig(obj, *path) or ())


def text(*path: str, default: str = UNKNOWN) -> Cell:
    """A cell that shows any value as text; booleans in lower case."""

    def cell(obj: Object, _: datetime) -> str:
        found = dig(obj, *path)
        return str(found).lower() if isinstance(found, bool) else default if found is None else str(found)

    return cell


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A label selector as text; a plain map works too."""
    if selector is None:
        return NONE
    plain = "matchLabels" not in selector and "matchExpressions" not in selector
    labels = selector if plain else selector.get("matchLabels") or {}
    terms = [f"{k}={v}" for k, v in sorted(labels.items())]
    terms += [] if plain else [_expression(rule) for rule in selector.get("matchExpressions") or ()]
    return ",".join(terms) or NONE


def _expression(rule: Mapping[str, Any]) -> str:
    key, operator = rule.get("key", ""), rule.get("operator")
    if operator == "Exists":
        return str(key)
    if operator == "DoesNotExist":
        return f"!{key}"
    return f"{key} {'in' if operator == 'In' else 'notin'} ({','.join(sorted(rule.get('values') or ()))})"


def selector(*path: str) -> Cell:
    """A cell that shows a selector."""
    return lambda obj, _: selector_text(dig(obj, *path))


def joined(values: Iterable[Any], *, default: str = NONE) -> str:
    """Values with commas."""
    return ",".join(str(v) for v in values) or default


def containers(*path: str) -> tuple[Column, Column]:
    """The wide columns Containers and Images of a pod template's spec."""
    return (
        Column("Containers", lambda o, _: joined((c["name"] for c in dig(o, *path, "containers") or ()), default=""), priority=1),
        Column(
            "Images", lambda o, _: joined((c.get("image", "") for c in dig(o, *path, "containers") or ()), default=""), priority=1
        ),
    )


NAME = Column("Name", at("metadata", "name"), format="name")
AGE = Column("Age", lambda o, now: since(dig(o, "metadata", "creationTimestamp"), now))
CREATED = Column("Created At", at("metadata", "creationTimestamp"), format="date-time", type="date")
TEMPLATE = ("spec", "template", "spec")
SELECTOR = Column("Selector", selector("spec", "selector"), priority=1)
