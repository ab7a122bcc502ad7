"""Packages: what ``lateen render --target NAME -o FOLDER`` writes. A target is a pure function from a Graph to texts by path.

To add one: a module beside this with ``write(graph)``, and a line in TARGETS. Deterministic; paths are relative, with ``/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lateen.render.targets import helm, kustomize, plain
from lateen.render.targets.graph import Graph, Variant

Files = Mapping[str, str]

__all__ = ["TARGETS", "Files", "Graph", "Target", "Variant"]


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of package. ``environments`` says whether it holds every environment, or one."""

    write: Callable[[Graph], Files]
    summary: str
    environments: bool = False


TARGETS: Mapping[str, Target] = {
    "plain": Target(plain.write, "YAML files for kubectl apply"),
    "helm": Target(helm.write, "a chart with a values file per environment", environments=True),
    "kustomize": Target(kustomize.write, "a base, components, and an overlay per environment", environments=True),
}
