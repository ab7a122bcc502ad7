"""What the rules of every kind are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lateen.kube import quantity
from lateen.kube.meta import Object

Rule = Callable[[Object], None]


def fill(obj: Object, **values: Any) -> None:
    """Set what is missing. An empty string counts as missing, as Go's zero value does."""
    for name, value in values.items():
        if obj.get(name) in (None, ""):
            obj[name] = value


def fill_numbers(obj: Object, **values: int) -> None:
    """Set numbers that are missing or 0 (fields that are no pointers in Go)."""
    for name, value in values.items():
        if not obj.get(name):
            obj[name] = value


def items(obj: Object, name: str) -> Iterator[Object]:
    """The objects in the list field ``name``."""
    return (item for item in obj.get(name) or () if isinstance(item, dict))


def part(obj: Object, name: str) -> Object:
    """The object field ``name``, made if it is missing."""
    if not isinstance(obj.get(name), dict):
        obj[name] = {}
    found: Object = obj[name]
    return found


def amounts(obj: Object | None) -> None:
    """Write the quantities of a resource list in canonical form; what is no quantity is left to validation."""
    for name, value in (obj or {}).items():
        (obj or {})[name] = amount(value)


def amount(value: Any) -> Any:
    """The canonical form of one quantity."""
    try:
        return quantity.canonical(value)
    except (ValueError, TypeError):
        return value
