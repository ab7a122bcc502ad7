"""Texts -> Manifests with positions: documents of several kinds in one file, List kinds, JSON; broken text becomes a finding.

Pure: the CLI reads files and hands in Sources. A document's tree of positions is made only when something is found in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

from lateen.check.manifest import Locate, Manifest, Path
from lateen.check.pointing import Lines
from lateen.errors import InputError
from lateen.kube import yamltext
from lateen.kube.yamltext import Mark, Node, Source

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SPLIT = re.compile(r"^---(?=\s|$)", re.MULTILINE)


class _Loader(_LOADER):  # type: ignore[misc]
    """As Kubernetes reads YAML: dates stay text, and a key given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        merges = any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value)
        result = super().construct_mapping(node, deep)
        if len(result) != len(node.value) and not merges:
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice", node.start_mark)
        return result


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in _LOADER.yaml_implicit_resolvers.items()
}


@dataclass(slots=True)
class Read:
    """What was read: Kubernetes objects, other documents (by source name), and texts that are no YAML."""

    objects: list[Manifest] = field(default_factory=list)
    others: list[Manifest] = field(default_factory=list)
    broken: list[tuple[Source, InputError]] = field(default_factory=list)


def read(source: Source, into: Read | None = None) -> Read:
    """The documents of ``source``, added to ``into``."""
    found = into if into is not None else Read()
    try:
        for data, tree in _documents(source):
            for manifest in _expanded(data, tree.find, source.name):
                manifest.span = tree.span
                (found.objects if _is_object(manifest.data) else found.others).append(manifest)
    except InputError as error:
        if _meant(source):
            found.broken.append((source, error))
    return found


def _meant(source: Source) -> bool:
    """Whether a text that cannot be read was meant to be objects or a pipeline, not data that lies beside them."""
    return "apiVersion" in source.text or ".gitlab-ci" in source.name or ".github/" in source.name or source.name == "<stdin>"


def _is_object(data: Any) -> bool:
    return isinstance(data.get("apiVersion"), str) and isinstance(data.get("kind"), str)


def _expanded(data: dict[str, Any], locate: Locate, source: str) -> Iterator[Manifest]:
    if str(data.get("kind", "")).endswith("List") and isinstance(data.get("items"), list) and "apiVersion" in data:
        for i, item in enumerate(data["items"]):
            if isinstance(item, dict):
                for inner in _expanded(item, _below(locate, ("items", i)), source):
                    inner.prefix = ("items", i, *inner.prefix)
                    yield inner
    else:
        yield Manifest(data, locate, source=source)


def _below(locate: Locate, prefix: Path) -> Locate:
    return lambda path: locate((*prefix, *path))


class _Tree:
    """The positions of one document, read when first asked for."""

    def __init__(self, source: Source, part: str, *, line: int, start: int) -> None:
        self._source, self._part, self._line = source, part, line
        self.span = (start, start + len(part))
        self._lines: Lines | None = None
        self._asked = False

    def find(self, path: Path) -> Mark:
        """The place of ``path``, or of the nearest thing around it that exists (its key when it has one)."""
        if not self._asked:
            self._asked, self._lines = True, Lines.of(self._part)
        place = self._lines.find(path) if self._lines is not None and path else None
        line, column, length = place or _composed(self._part, path)
        return Mark(self._source, line + self._line, column, length)


def _composed(part: str, path: Path) -> tuple[int, int, int]:
    """The place by the YAML parser."""
    root = _root(part)
    node, depth = yamltext.locate(root, path)
    whole = depth == len(path) and not isinstance(node.data, dict | list)
    mark = node.mark if whole or node.key is None else node.key
    return mark.line, mark.column, mark.length


@lru_cache(maxsize=8)
def _root(part: str) -> Node:
    return yamltext.documents(Source("", part))[0]


def _documents(source: Source) -> Iterator[tuple[dict[str, Any], _Tree]]:
    start, line = 0, 0
    cuts = [m.start() for m in _SPLIT.finditer(source.text)]
    for end in [*cuts, len(source.text)]:
        part = source.text[start:end]
        if part.strip() and part.strip() != "---":
            data = _load(source, part, line)
            if isinstance(data, dict):
                yield data, _Tree(source, part, line=line, start=start)
        line += part.count("\n")
        start = end


def _load(source: Source, part: str, line: int) -> Any:
    try:
        data = yaml.load(part, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        _refuse(source, part, line)
        raise InputError("not YAML", where=source.name) from None
    return data


def _refuse(source: Source, part: str, line: int) -> None:
    """Raises what ``yamltext`` says of the text, at its place in the whole file."""
    yamltext.documents(Source(source.name, "\n" * line + part))
