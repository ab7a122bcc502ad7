"""Texts -> objects with their places. Lists are taken apart; what is no Kubernetes object is a loss, not an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from lateen.adopt.manifests.objects import Given
from lateen.adopt.nodes import Loss
from lateen.kube.schemas import missing, problems, type_of
from lateen.kube.yamltext import Node, Source, documents, fault, locate, plain


def read(sources: Iterable[Source]) -> tuple[list[Given], list[Loss]]:
    """Every object of the sources, and the documents that are none. InputError for broken YAML."""
    found: list[Given] = []
    losses: list[Loss] = []
    for source in sources:
        for document in documents(source):
            for node in _expanded(document):
                data = plain(node)
                if _is_object(data):
                    _check(node, data)
                    found.append(Given(data, str(node.mark)))
                else:
                    losses.append(Loss(str(node.mark), "a document", "it is no Kubernetes object with a kind and a name"))
    return found, losses


def _is_object(data: Any) -> bool:
    if not isinstance(data, dict) or not isinstance(data.get("metadata"), dict):
        return False
    return all(isinstance(v, str) and v for v in (data.get("kind"), data.get("apiVersion"), data["metadata"].get("name")))


def _check(node: Node, data: Any) -> None:
    """InputError, at its place, for a value that Kubernetes itself could not read. Fields that it does not know are let pass."""
    group, _, version = data["apiVersion"].rpartition("/")
    schema = type_of(group, version, data["kind"])
    for problem in (*problems(schema, data), *missing(schema, data)) if schema is not None else ():
        if problem.reason != "unknown":
            steps = [int(i) if i else name for name, i in re.findall(r"([^.\[\]]+)|\[(\d+)\]", problem.path)]
            place, _ = locate(node, steps)
            raise fault(f"{data['kind']} {data['metadata']['name']}: {problem.path}: {problem.message}", place.mark)


def _expanded(node: Node) -> Iterator[Node]:
    kind, items = node.get("kind"), node.get("items")
    if kind is not None and str(kind.data).endswith("List") and items is not None and isinstance(items.data, list):
        for item in items.data:
            yield from _expanded(item)
    else:
        yield node
