"""Meshes: the plain objects, with their pods in the mesh, and what the mesh is told of the application: who may call whom, how
patiently, and when to stop. One module per mesh; each gives its objects and, in words, what it cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.render.targets import plain
from lateen.render.targets.graph import Graph
from lateen.render.targets.mesh import consul, gamma, istio, linkerd


@dataclass(frozen=True, slots=True)
class Mesh:
    """``joined`` puts the application's objects into the mesh, ``objects`` are its own, ``missing`` says what it cannot do."""

    joined: Callable[[Application, Sequence[Object]], list[Object]]
    objects: Callable[[Application], list[Object]]
    missing: Callable[[Application], Iterator[str]]

    def write(self, graph: Graph) -> dict[str, str]:
        """The package: everything that ``kubectl apply -f FOLDER`` needs."""
        app = graph.base.app
        objects = [*self.joined(app, graph.base.objects), *self.objects(app)]
        return plain.write(replace(graph, base=replace(graph.base, objects=objects)))

    def notes(self, graph: Graph) -> Iterator[str]:
        """What the mesh cannot be told, a line each."""
        return self.missing(graph.base.app)


MESHES = {
    "istio": Mesh(istio.joined, istio.objects, istio.missing),
    "linkerd": Mesh(linkerd.joined, linkerd.objects, linkerd.missing),
    "consul": Mesh(consul.joined, consul.objects, consul.missing),
    "gamma": Mesh(gamma.joined, gamma.objects, gamma.missing),
}
