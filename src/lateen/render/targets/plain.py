"""Plain YAML: a file per service, in an order that ``kubectl apply -f FOLDER`` can take from an empty cluster."""

from __future__ import annotations

from lateen.kube.yamltext import dump
from lateen.render.targets.graph import APPLICATION, FOREIGN, RESOURCE, SERVICE, Graph, Owner, by_owner

# kubectl takes files in the order of their names: the namespace first, databases before those who wait for them.
_PLACES = {APPLICATION: "00-application", RESOURCE: "10-resource", SERVICE: "20-service", FOREIGN: "30-manifests"}


def write(graph: Graph) -> dict[str, str]:
    """The objects of the base, nothing more."""
    groups = by_owner(graph.base.objects, graph.base.app)
    return {file_of(who): dump(groups[who]) for who in sorted(groups)}


def file_of(who: Owner) -> str:
    """The file that holds the objects of one owner."""
    return f"{'-'.join(p for p in (_PLACES[who.kind], who.name) if p)}.yaml"
