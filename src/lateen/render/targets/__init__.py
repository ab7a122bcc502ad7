"""Packages: what ``lateen render --target NAME -o FOLDER`` writes. A target is a pure function from a Graph to texts by path.

To add one: a module beside this with ``write(graph)``, and a line in TARGETS. Deterministic; paths are relative, with ``/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lateen.render.targets import collectors, gitops, grafana, helm, kpt, kustomize, plain, prometheus
from lateen.render.targets.graph import Graph, Variant
from lateen.render.targets.mesh import MESHES

Files = Mapping[str, str]

__all__ = ["TARGETS", "Files", "Graph", "Target", "Variant"]


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of package. ``environments`` says whether it holds every environment, or one; ``notes`` what it cannot carry."""

    write: Callable[[Graph], Files]
    summary: str
    environments: bool = False
    notes: Callable[[Graph], Iterable[str]] = lambda graph: ()


TARGETS: Mapping[str, Target] = {
    "plain": Target(plain.write, "YAML files for kubectl apply"),
    "helm": Target(helm.write, "a chart with a values file per environment", environments=True),
    "kustomize": Target(kustomize.write, "a base, components, and an overlay per environment", environments=True),
    "kpt": Target(kpt.write, "a package with setters and a pipeline for kpt fn render", environments=True),
    "argocd": Target(gitops.argocd, "an environment repository for Argo CD", environments=True),
    "flux": Target(gitops.flux, "an environment repository for Flux", environments=True),
    "istio": Target(MESHES["istio"].write, "plain, in Istio's mesh: mTLS, authorization, patience", notes=MESHES["istio"].notes),
    "linkerd": Target(MESHES["linkerd"].write, "plain, in Linkerd's mesh", notes=MESHES["linkerd"].notes),
    "consul": Target(MESHES["consul"].write, "plain, in Consul's mesh", notes=MESHES["consul"].notes),
    "gamma": Target(MESHES["gamma"].write, "plain, with routes for any mesh of the Gateway API", notes=MESHES["gamma"].notes),
    "prometheus": Target(
        prometheus.write, "rules and alerts of objectives, Alertmanager's routes, OpenSLO", notes=prometheus.notes
    ),
    "grafana": Target(grafana.write, "dashboards of services, objectives and rollouts"),
    "otel": Target(collectors.otel, "an OpenTelemetry Collector: traces, metrics, logs"),
    "fluentbit": Target(collectors.fluentbit, "Fluent Bit on every node, for Loki"),
}
