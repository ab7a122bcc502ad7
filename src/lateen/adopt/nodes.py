"""What importers share: trees made of plain data at the place it came from, and the record of what was not carried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lateen.kube.yamltext import Mark, Node


@dataclass(frozen=True, slots=True)
class Loss:
    """Something of the source that the application file does not say: where it stands, what it is, and why it is left out."""

    where: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.why}"

    def described(self) -> dict[str, Any]:
        """For programs."""
        return {"where": self.where, "what": self.what, "why": self.why}


@dataclass(frozen=True, slots=True)
class Imported:
    """An application tree, what it could not carry, and the files that belong beside it (by relative path)."""

    tree: Node
    losses: list[Loss] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


def made(data: Any, near: Node) -> Node:
    """``data`` as a tree at the place of ``near``. Nodes inside it keep their own places; what is None or empty is kept, too."""
    if isinstance(data, Node):
        return data
    place: tuple[Mark, Mark | None] = (near.mark, near.key)
    if isinstance(data, dict):
        return Node({str(k): made(v, near) for k, v in data.items()}, *place)
    if isinstance(data, list | tuple):
        return Node([made(v, near) for v in data], *place)
    return Node(data, *place, text=_text(data))


def filled(data: dict[str, Any]) -> dict[str, Any]:
    """Without what is None or empty."""
    return {k: v for k, v in data.items() if v is not None and v not in ({}, [], "")}


def literal(text: str) -> str:
    """A text that the model and Kubernetes leave as it is: neither ``${...}`` nor ``$(...)`` in it is replaced."""
    return text.replace("$(", "$$(").replace("${", "$${")


def _text(data: Any) -> str:
    return "" if data is None else str(data).lower() if isinstance(data, bool) else str(data)
