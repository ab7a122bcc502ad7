"""One object under check, and where it was written. Made by ``check.reading``; everything in ``check`` looks at these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeAlias

from lateen.kube.yamltext import Mark

Path: TypeAlias = tuple[str | int, ...]
Locate: TypeAlias = Callable[[Path], Mark | None]


def nowhere(_: Path) -> Mark | None:
    """The place of objects that come from no file (a live cluster)."""
    return None


class Manifest:
    """A Kubernetes object, or another YAML document (a CI file), with its place. Identity is the instance's."""

    span: tuple[int, int] | None = None
    """Where its document stands in the text it was read from; ``prefix`` is its path in there (items of a List)."""
    prefix: Path = ()

    def __init__(self, data: Mapping[str, Any], locate: Locate = nowhere, *, source: str = "") -> None:
        self.data, self.locate, self.source = data, locate, source

    @cached_property
    def kind(self) -> str:
        return str(self.data.get("kind") or "")

    @cached_property
    def group(self) -> str:
        """The API group, empty for the core."""
        return str(self.data.get("apiVersion") or "").rpartition("/")[0]

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        found = self.data.get("metadata")
        return found if isinstance(found, dict) else {}

    @cached_property
    def name(self) -> str:
        return str(self.metadata.get("name") or self.metadata.get("generateName") or "")

    @cached_property
    def namespace(self) -> str:
        """As written; empty when it is decided at apply time."""
        return str(self.metadata.get("namespace") or "")

    @cached_property
    def labels(self) -> Mapping[str, str]:
        return _texts(self.metadata.get("labels"))

    @cached_property
    def annotations(self) -> Mapping[str, str]:
        return _texts(self.metadata.get("annotations"))

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        found = self.data.get("spec")
        return found if isinstance(found, dict) else {}

    def at(self, *path: str | int) -> Any:
        """The value at ``path``, None when any step is missing or of another shape."""
        return dig(self.data, *path)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def dig(data: Any, *path: str | int) -> Any:
    """The value at ``path`` of nested data, None when any step is missing or of another shape."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(data, list) or step >= len(data):
                return None
            data = data[step]
        elif isinstance(data, dict):
            data = data.get(step)
        else:
            return None
    return data


def maps(value: Any) -> list[dict[str, Any]]:
    """The maps of a list; what is not one is left out (the schema check reports it)."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> dict[str, Any]:
    """The value when it is a map, else an empty one."""
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}
