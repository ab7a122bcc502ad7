"""Notations of Compose: lists that may be maps, commands, durations, sizes, switches."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from lateen.kube.yamltext import Node, fault

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?(?:(\d+)us)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)


def pairs(node: Node | None) -> Iterator[tuple[str, Node]]:
    """The entries of a map, or of a list of ``NAME=VALUE``; a value of None means that none is given."""
    if node is None or node.data is None:
        return
    if isinstance(node.data, dict):
        yield from node.data.items()
        return
    for item in items(node):
        name, equals, value = text(item).partition("=")
        data = value if equals else None
        yield name, Node(data, item.mark, item.key or item.mark, text=data or "")


def items(node: Node | None) -> list[Node]:
    """The items of a list; of a scalar, itself; of a map, its keys as Nodes."""
    if node is None or node.data is None:
        return []
    if isinstance(node.data, dict):
        return [Node(k, v.key or v.mark, v.key, text=k) for k, v in node.data.items()]
    return list(node.data) if isinstance(node.data, list) else [node]


def text(node: Node | None) -> str:
    """A scalar as it was written. InputError for a map or a list."""
    if node is None or node.data is None:
        return ""
    if isinstance(node.data, dict | list):
        raise fault(f"expected text, found a {'map' if isinstance(node.data, dict) else 'list'}", node.mark)
    return node.data if isinstance(node.data, str) else node.text


def number(node: Node | None, *, default: int = 0) -> int:
    """A whole number."""
    if node is None or node.data is None:
        return default
    try:
        return int(text(node))
    except ValueError:
        raise fault(f"expected a whole number, found {text(node)!r}", node.mark) from None


def truth(node: Node | None, *, default: bool = False) -> bool:
    """A switch."""
    if node is None or node.data is None:
        return default
    if isinstance(node.data, bool):
        return node.data
    word = text(node).lower()
    if word not in ("true", "false", "yes", "no", "1", "0"):
        raise fault(f"expected true or false, found {word!r}", node.mark)
    return word in ("true", "yes", "1")


def mapping(node: Node | None) -> dict[str, Node]:
    """A map. InputError for something else."""
    if node is None or node.data is None:
        return {}
    if not isinstance(node.data, dict):
        raise fault("expected a map", node.mark)
    found: dict[str, Node] = node.data
    return found


def command(node: Node | None) -> list[str] | None:
    """A command: a list, or a text with quotes as a shell reads it."""
    if node is None or node.data is None:
        return None
    if isinstance(node.data, list):
        return [text(item) for item in node.data]
    try:
        return shlex.split(text(node))
    except ValueError as error:
        raise fault(f"not a command: {error}", node.mark) from error


def duration(node: Node) -> float:
    """Seconds."""
    given = text(node)
    match = _DURATION.fullmatch(given) if given else None
    if match is None or not any(match.groups()):
        raise fault(f"{given!r} is not a duration: write for example 1m30s", node.mark)
    h, m, s, ms, us = (float(g or 0) for g in match.groups())
    return h * 3600 + m * 60 + s + ms / 1000 + us / 1e6


def size(node: Node) -> str:
    """A number of bytes (``512m``, ``1gb``) as Kubernetes writes it."""
    match = _SIZE.fullmatch(text(node).strip())
    if match is None:
        raise fault(f"{text(node)!r} is not a size: write for example 512m or 1gb", node.mark)
    amount, unit = float(match[1]), match[2].lower()
    power = " kmgtp".index(unit) if unit else 0
    while amount != int(amount) and power:
        amount, power = amount * 1024, power - 1
    return f"{int(amount)}{['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'][power]}"


def cores(node: Node) -> str:
    """CPU cores: ``0.5`` is ``500m``."""
    try:
        value = float(text(node))
    except ValueError:
        raise fault(f"{text(node)!r} is not a number of CPU cores", node.mark) from None
    return str(int(value)) if value == int(value) else f"{round(value * 1000)}m"


def plain_seconds(value: float) -> Any:
    """Whole seconds as a whole number."""
    return int(value) if value == int(value) else value
