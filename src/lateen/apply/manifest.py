"""Manifests: any YAML or JSON with Kubernetes objects, several documents, List kinds. No file I/O: the CLI passes Sources.

Checks the shape that everything else relies on (apiVersion, kind, a name); the server judges the rest.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lateen.errors import InputError
from lateen.kube.meta import Object
from lateen.kube.yamltext import Node, Source, documents, fault, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An object and its place, ``file:line:column`` (empty when it was made by a program)."""

    object: Object
    where: str = ""


def manifests(objects: Iterable[Object]) -> list[Manifest]:
    """Objects made by a program."""
    return [Manifest(object=o) for o in objects]


def load_manifests(sources: Iterable[Source]) -> list[Manifest]:
    """Every object in the sources, in order. Raises an ExceptionGroup of InputErrors with positions."""
    found: list[Manifest] = []
    errors: list[InputError] = []
    for source in sources:
        try:
            roots = documents(source)
        except InputError as error:
            errors.append(error)
            continue
        for item in (node for root in roots for node in _items(root)):
            if (wrong := _fault(item)) is not None:
                errors.append(wrong)
            else:
                found.append(Manifest(object=plain(item), where=str(item.mark)))
    if errors:
        raise ExceptionGroup("manifests", errors)
    return found


def _items(root: Node) -> Iterator[Node]:
    """The object itself, or those inside a List."""
    kind, items = root.get("kind"), root.get("items")
    if (
        kind is not None
        and isinstance(kind.data, str)
        and kind.data.endswith("List")
        and items is not None
        and isinstance(items.data, list)
    ):
        for item in items.data:
            yield from _items(item)
    else:
        yield root


def _fault(node: Node) -> InputError | None:
    if not isinstance(node.data, dict):
        return fault("expected an object with apiVersion, kind and metadata", node.mark)
    for field in ("apiVersion", "kind", "metadata"):
        if node.get(field) is None:
            near = difflib.get_close_matches(field, node.data, n=1)
            mark = node.data[near[0]].key if near else None
            return fault(f"the object has no {field}", mark or node.mark, f"did you mean {field!r}?" if near else "")
    for field in ("apiVersion", "kind"):
        value = node.data[field]
        if not isinstance(value.data, str) or not value.data:
            return fault(f"{field} must be text", value.mark)
    return _metadata_fault(node.data["metadata"])


def _metadata_fault(metadata: Node) -> InputError | None:
    if not isinstance(metadata.data, dict):
        return fault("metadata must be a map", metadata.mark)
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if name is None:
        hint = "generateName makes a new object each time: create it with kubectl" if metadata.get("generateName") else ""
        return fault("metadata has no name", metadata.key or metadata.mark, hint)
    for field, node in (("name", name), ("namespace", namespace)):
        if node is not None and (not isinstance(node.data, str) or not node.data):
            return fault(f"metadata.{field} must be text", node.mark, "put it in quotes" if node.data is not None else "")
    return None
