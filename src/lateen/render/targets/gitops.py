"""GitOps: a whole environment repository: ``apps/APP`` is the application as a package, beside it stand the engine's objects.

Argo CD: ``argocd/`` with an AppProject, an ApplicationSet that makes an Application per environment, and the Application that keeps
these (apply ``argocd/root.yaml`` once). Flux: ``clusters/ENV`` for each cluster's own Kustomization of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lateen.errors import InputError
from lateen.kube.yamltext import dump
from lateen.model import Application
from lateen.model.delivery import GitOps
from lateen.render.names import PREFIX
from lateen.render.targets import helm, kustomize
from lateen.render.targets.graph import Graph, Variant

_ARGO, _ARGO_NAMESPACE, _FLUX_NAMESPACE = "argoproj.io/v1alpha1", "argocd", "flux-system"
_HERE = "https://kubernetes.default.svc"
_CLUSTER_KINDS = {"Namespace": "", "PriorityClass": "scheduling.k8s.io", "ClusterRole": "rbac.authorization.k8s.io"}


def argocd(graph: Graph) -> dict[str, str]:
    """The environment repository for Argo CD."""
    app, repository = graph.base.app, _repository(graph.base.app)
    variants = _variants(graph)
    project = _argo("AppProject", app.name, app, _project(app, repository, variants))
    many = _argo("ApplicationSet", app.name, app, _application_set(app, repository, variants))
    root = _argo("Application", f"{app.name}-root", app, _root(app, repository))
    return {
        **_package(graph, repository),
        "argocd/project.yaml": dump([project]),
        "argocd/applicationset.yaml": dump([many]),
        "argocd-root.yaml": dump([root]),
    }


def flux(graph: Graph) -> dict[str, str]:
    """The environment repository for Flux."""
    app, repository = graph.base.app, _repository(graph.base.app)
    files = _package(graph, repository)
    for name, variant in _variants(graph).items():
        files[f"clusters/{name}/{app.name}.yaml"] = dump(list(_flux(variant.app, repository, name)))
    return files


def _repository(app: Application) -> GitOps:
    if app.spec.gitops is None:
        raise InputError("the application file does not say where its repository is", hint="set `gitops:` to the repository's URL")
    return app.spec.gitops


def _variants(graph: Graph) -> dict[str, Variant]:
    return dict(graph.environments) or {graph.base.app.environment: graph.base}


def _package(graph: Graph, repository: GitOps) -> dict[str, str]:
    write = kustomize.write if repository.package == "kustomize" else helm.write
    return {f"apps/{graph.base.app.name}/{path}": text for path, text in write(graph).items()}


def _inside(repository: GitOps, path: str) -> str:
    return "/".join(part for part in (repository.path.strip("/"), path) if part)


def _labels(app: Application) -> dict[str, str]:
    return {f"{PREFIX}/part-of": app.name, f"{PREFIX}/managed-by": "lateen"}


def _argo(kind: str, name: str, app: Application, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": _ARGO_NAMESPACE, "labels": _labels(app)}
    if kind == "Application":
        metadata["finalizers"] = ["resources-finalizer.argocd.argoproj.io"]
    return {"apiVersion": _ARGO, "kind": kind, "metadata": metadata, "spec": dict(spec)}


def _destination(app: Application) -> dict[str, str]:
    """Where an environment runs: the cluster of this name in Argo CD, or the one Argo CD runs in."""
    where = {"name": app.cluster} if app.cluster not in ("", "embedded") else {"server": _HERE}
    return {**where, "namespace": app.namespace}


def _project(app: Application, repository: GitOps, variants: Mapping[str, Variant]) -> dict[str, Any]:
    destinations: list[dict[str, str]] = []
    kinds: set[str] = set()
    for variant in variants.values():
        place = _destination(variant.app)
        destinations += [place] if place not in destinations else []
        kinds |= {o["kind"] for o in variant.objects} & _CLUSTER_KINDS.keys()
    windows = [w for name, variant in variants.items() for w in _windows(variant.app, name)]
    return {
        "description": f"{app.name}, of {app.spec.owner}" if app.spec.owner else app.name,
        "sourceRepos": [repository.repository],
        "destinations": destinations,
        "clusterResourceWhitelist": [{"group": _CLUSTER_KINDS[k], "kind": k} for k in sorted(kinds)],
        **({"syncWindows": windows} if windows else {}),
    }


def _windows(app: Application, environment: str) -> Iterator[dict[str, Any]]:
    """When an environment may change."""
    promote = app.spec.environments[environment].promote if environment in app.spec.environments else None
    if promote is not None and promote.window is not None:
        title = f"{app.name}-{environment}"
        yield {"kind": "allow", "schedule": promote.window, "duration": "1h", "applications": [title], "manualSync": True}


def _source(app: Application, repository: GitOps, environment: str) -> dict[str, Any]:
    common = {"repoURL": repository.repository, "targetRevision": repository.branch}
    folder = _inside(repository, f"apps/{app.name}")
    if repository.package == "helm":
        values = ["values.yaml", f"values-{environment}.yaml"]
        chart = {"releaseName": app.name, "valueFiles": values, "ignoreMissingValueFiles": True}
        return {**common, "path": folder, "helm": chart}
    return {**common, "path": f"{folder}/overlays/{environment}"}


def _application_set(app: Application, repository: GitOps, variants: Mapping[str, Variant]) -> dict[str, Any]:
    """An Application per environment. Those that are promoted by hand are synced by hand."""
    elements = []
    for name, variant in variants.items():
        place = _destination(variant.app)
        automatic = "true" if _automatic(variant.app, name) else "false"
        elements.append(
            {"environment": name, "automatic": automatic, **{k: place.get(k, "") for k in ("name", "server", "namespace")}}
        )
    replicas = {"group": "apps", "kind": "*", "jsonPointers": ["/spec/replicas"]}
    template = {
        "metadata": {"name": f"{app.name}-{{{{.environment}}}}", "labels": _labels(app)},
        "spec": {
            "project": app.name,
            "source": _source(app, repository, "{{.environment}}"),
            "destination": {"namespace": "{{.namespace}}"},
            "syncPolicy": {"syncOptions": ["ServerSideApply=true", "PruneLast=true"]},
            **({"ignoreDifferences": [replicas]} if any(s.automatic for s in app.services.values()) else {}),
        },
    }
    return {
        "goTemplate": True,
        "goTemplateOptions": ["missingkey=error"],
        "generators": [{"list": {"elements": elements}}],
        "template": template,
        "templatePatch": _PATCH,
    }


_PATCH = """\
spec:
  destination:
    {{- if .name }}
    name: {{ .name }}
    {{- else }}
    server: {{ .server }}
    {{- end }}
  {{- if eq .automatic "true" }}
  syncPolicy:
    automated: {prune: true, selfHeal: true}
  {{- end }}
"""


def _automatic(app: Application, environment: str) -> bool:
    found = app.spec.environments.get(environment)
    return found is None or found.promote is None or found.promote.auto


def _root(app: Application, repository: GitOps) -> dict[str, Any]:
    return {
        "project": "default",
        "source": {
            "repoURL": repository.repository,
            "targetRevision": repository.branch,
            "path": _inside(repository, "argocd"),
        },
        "destination": {"server": _HERE, "namespace": _ARGO_NAMESPACE},
        "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
    }


def _flux(app: Application, repository: GitOps, environment: str) -> Iterator[dict[str, Any]]:
    yield _of_flux(
        "source.toolkit.fluxcd.io/v1",
        "GitRepository",
        app,
        {"interval": "1m", "url": repository.repository, "ref": {"branch": repository.branch}},
    )
    folder, source = _inside(repository, f"apps/{app.name}"), {"kind": "GitRepository", "name": app.name}
    suspended = {} if _automatic(app, environment) else {"suspend": True}  # promoted by hand: `flux resume` is the promotion
    if repository.package == "helm":
        chart = {
            "chart": f"./{folder}",
            "sourceRef": source,
            "reconcileStrategy": "Revision",
            "valuesFiles": [f"./{folder}/values.yaml", f"./{folder}/values-{environment}.yaml"],
            "ignoreMissingValuesFiles": True,
        }
        spec = {
            "interval": "10m",
            **suspended,
            "releaseName": app.name,
            "targetNamespace": app.namespace,
            "chart": {"spec": chart},
            "install": {"createNamespace": True, "remediation": {"retries": 3}},
            "upgrade": {"remediation": {"retries": 3, "remediateLastFailure": True}},
            "driftDetection": {"mode": "enabled"},
        }
        yield _of_flux("helm.toolkit.fluxcd.io/v2", "HelmRelease", app, spec)
        return
    spec = {
        "interval": "10m",
        "retryInterval": "1m",
        "timeout": "5m",
        **suspended,
        "path": f"./{folder}/overlays/{environment}",
        "prune": True,
        "wait": True,
        "sourceRef": source,
        **({"decryption": {"provider": "sops", "secretRef": {"name": "sops"}}} if _encrypted(app) else {}),
    }
    yield _of_flux("kustomize.toolkit.fluxcd.io/v1", "Kustomization", app, spec)


def _encrypted(app: Application) -> bool:
    return app.secret_store is not None and app.secret_store.provider == "sops"


def _of_flux(version: str, kind: str, app: Application, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": app.name, "namespace": _FLUX_NAMESPACE, "labels": _labels(app)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
