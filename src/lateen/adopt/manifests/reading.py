"""Texts -> objects with their places. Lists are taken apart; what is no Kubernetes object is a loss, not an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lateen.adopt.manifests.objects import Given
from lateen.adopt.nodes import Loss
from lateen.kube.yamltext import Node, Source, documents, plain


def read(sources: Iterable[Source]) -> tuple[list[Given], list[Loss]]:
    """Every object of the sources, and the documents that are none. InputError for broken YAML."""
    found: list[Given] = []
    losses: list[Loss] = []
    for source in sources:
        for document in documents(source):
            for node in _expanded(document):
                data = plain(node)
                if (
                    isinstance(data, dict)
                    and data.get("kind")
                    and data.get("apiVersion")
                    and (data.get("metadata") or {}).get("name")
                ):
                    found.append(Given(data, str(node.mark)))
                else:
                    losses.append(Loss(str(node.mark), "a document", "it is no Kubernetes object with a kind and a name"))
    return found, losses


def _expanded(node: Node) -> Iterator[Node]:
    kind, items = node.get("kind"), node.get("items")
    if kind is not None and str(kind.data).endswith("List") and items is not None and isinstance(items.data, list):
        for item in items.data:
            yield from _expanded(item)
    else:
        yield node
