"""YAML text with positions, and deterministic YAML back. The model and the manifest loader read through it.

``documents`` gives trees of Nodes: every value knows the file, line and column it came from, so that whoever finds a fault later
can point at it. ``plain`` turns a tree into ordinary data.
``dump`` is ``yamlwrite``'s. Nothing here touches files: a Source is a name and its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from lateen.errors import InputError
from lateen.kube.yamlwrite import dump as dump

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STR, _MERGE, _TIMESTAMP = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:timestamp"
_MAX_NODES, _MAX_DEPTH = 200_000, 100
_LONG = 160  # characters of a line that are shown


@lru_cache(maxsize=4)
def _lines(text: str) -> list[str]:
    """The lines of a text; thousands of findings may point into one."""
    return text.split("\n")


@dataclass(frozen=True, slots=True)
class Source:
    """A text and the name to call it by in messages (its path, or ``<stdin>``)."""

    name: str
    text: str

    def line(self, number: int) -> str:
        """The line ``number`` (0-based), empty when there is none."""
        lines = _lines(self.text)
        return lines[number] if number < len(lines) else ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a source: 0-based ``line`` and ``column``, and how many characters it spans on that line."""

    source: Source
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line + 1}:{self.column + 1}"

    def excerpt(self) -> str:
        """The line, or of a long one the part around the place, with a caret under it."""
        text, column = self.source.line(self.line), self.column
        if len(text) > _LONG:
            first = max(0, column - _LONG // 2)
            head, tail = "..." if first else "", "..." if first + _LONG < len(text) else ""
            text, column = f"{head}{text[first : first + _LONG]}{tail}", column - first + len(head)
        number = str(self.line + 1)
        blank = "".join("\t" if c == "\t" else " " for c in text[:column])
        return f"{number} | {text}\n  {' ' * len(number)} | {blank}{'^' * max(1, min(self.length, _LONG))}"


@dataclass(slots=True)
class Node:
    """A value with its place. ``data`` is a scalar, a list of Nodes or a dict of Nodes; ``key`` is the place of its key in a map.

    ``text`` is a scalar as it was written (without quotes).
    """

    data: Any
    mark: Mark
    key: Mark | None = None
    text: str = ""

    def get(self, name: str) -> Node | None:
        """The child of a map, or None."""
        return self.data.get(name) if isinstance(self.data, dict) else None


def fault(message: str, mark: Mark, hint: str = "") -> InputError:
    """An InputError at ``mark`` with the line it is on."""
    return InputError(message, where=str(mark), hint="\n  ".join(p for p in (mark.excerpt(), hint) if p))


def documents(source: Source) -> list[Node]:
    """Every document that is not empty. InputError for bad YAML, a key given twice, or a key that is not a scalar."""
    try:
        roots = list(yaml.compose_all(source.text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise _syntax(source, error) from error
    except yaml.YAMLError as error:  # a character that YAML does not allow has no mark
        raise InputError(f"not YAML: {error}", where=source.name) from error
    builder = _Builder(source)
    return [builder.node(root) for root in roots if root is not None and not _empty(root)]


def _empty(root: Any) -> bool:
    return isinstance(root, yaml.ScalarNode) and root.tag == "tag:yaml.org,2002:null"


def _syntax(source: Source, error: yaml.MarkedYAMLError) -> InputError:
    place = error.problem_mark or error.context_mark
    if place is None:
        return InputError(f"not YAML: {error}", where=source.name)
    mark = Mark(source, place.line, place.column)
    context = f" ({error.context})" if error.context else ""
    tab = "\t" in source.line(place.line)[: place.column + 1]
    return fault(f"not YAML: {error.problem}{context}", mark, "indent with spaces, not tabs" if tab else "")


class _Builder:
    """Turns composed YAML into Nodes. A budget and a depth stop alias bombs and aliases of themselves."""

    def __init__(self, source: Source) -> None:
        self._source, self._left, self._depth = source, _MAX_NODES, 0
        self._lines = source.text.split("\n")
        self._constructor = yaml.constructor.SafeConstructor()

    def node(self, raw: Any) -> Node:
        self._left -= 1
        mark = self._mark(raw)
        if self._left < 0 or self._depth > _MAX_DEPTH:
            raise fault("the file expands to too many values", mark)
        if isinstance(raw, yaml.ScalarNode):
            return Node(self._scalar(raw, mark), mark, text=raw.value)
        self._depth += 1
        data = self._map(raw) if isinstance(raw, yaml.MappingNode) else [self.node(item) for item in raw.value]
        self._depth -= 1
        return Node(data, mark)

    def _map(self, raw: Any) -> dict[str, Node]:
        own: dict[str, Node] = {}
        inherited: dict[str, Node] = {}
        for key, value in raw.value:
            if key.tag == _MERGE:
                inherited |= self._merged(value)
                continue
            where = self._mark(key)
            if not isinstance(key, yaml.ScalarNode):
                raise fault("a key must be plain text", where)
            if key.value in own:
                raise fault(f"{key.value!r} is given twice", where, f"first given at {own[key.value].key}")
            child = self.node(value)
            child.key = where
            own[key.value] = child
        return inherited | own

    def _merged(self, value: Any) -> dict[str, Node]:
        result: dict[str, Node] = {}
        for base in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            node = self.node(base)
            if not isinstance(node.data, dict):
                raise fault("<< merges maps only", node.mark)
            result = node.data | result  # earlier ones win
        return result

    def _scalar(self, raw: Any, mark: Mark) -> Any:
        if raw.tag in (_STR, _TIMESTAMP):
            return raw.value
        try:
            return self._constructor.construct_object(raw)
        except (yaml.YAMLError, ValueError) as error:
            raise fault(f"{raw.value!r} cannot be read as {raw.tag.rpartition(':')[2]}", mark) from error

    def _mark(self, raw: Any) -> Mark:
        start, end = raw.start_mark, raw.end_mark
        length = end.column - start.column if end.line == start.line else len(self._lines[start.line].rstrip()) - start.column
        return Mark(self._source, start.line, start.column, max(1, length))


def plain(node: Node) -> Any:
    """The tree as ordinary data."""
    if isinstance(node.data, dict):
        return {name: plain(child) for name, child in node.data.items()}
    if isinstance(node.data, list):
        return [plain(child) for child in node.data]
    return node.data


def locate(root: Node, path: Sequence[str | int]) -> tuple[Node, int]:
    """The deepest existing Node along ``path``, and how many of its steps exist."""
    node = root
    for depth, step in enumerate(path):
        if isinstance(node.data, dict) and str(step) in node.data:
            node = node.data[str(step)]
        elif isinstance(node.data, list) and isinstance(step, int) and step < len(node.data):
            node = node.data[step]
        else:
            return node, depth
    return node, len(path)
