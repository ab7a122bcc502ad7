"""The Deployment of a service, its ServiceAccount, and its PodDisruptionBudget."""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application, Service
from lateen.model.service import Resources
from lateen.render.environment import env, expand
from lateen.render.names import image_version, labels, obj, seconds, selector, service_labels
from lateen.render.probes import probes
from lateen.render.volumes import Volumes

DEPENDS_ON = "config.kubernetes.io/depends-on"  # what appliers agree on: the objects to wait for, comma-separated
_TOPOLOGY = {"host": "kubernetes.io/hostname", "zone": "topology.kubernetes.io/zone"}


def service_account(app: Application, name: str) -> Object:
    """An identity of its own, without a token: a service that calls the Kubernetes API is the exception."""
    return obj("v1", "ServiceAccount", name, app=app, labels=service_labels(app, name), automountServiceAccountToken=False)


def deployment(app: Application, name: str, image: str, mounted: Volumes) -> Object:
    """The Deployment that runs ``image``."""
    service = app.services[name]
    all_labels = labels(app, name, service.role, image_version(image))
    spec = {
        "replicas": service.count,
        "progressDeadlineSeconds": seconds(service.rollout.deadline),
        **({"minReadySeconds": settle} if (settle := _min_ready(service)) else {}),
        "strategy": _strategy(service),
        "selector": {"matchLabels": selector(app, name)},
        "template": {"metadata": {"labels": all_labels}, "spec": _pod(app, name, image, mounted)},
    }
    result = obj("apps/v1", "Deployment", name, app=app, labels=all_labels, spec=spec)
    if waits := [n for n, need in service.needs.items() if need.order == "ready" and not need.optional]:
        depends = ",".join(f"apps/namespaces/{app.namespace}/Deployment/{n}" for n in sorted(waits))
        result["metadata"]["annotations"] = {DEPENDS_ON: depends}
    return result


def _min_ready(service: Service) -> int:
    """Seconds. Without a readiness check a pod is ready the moment it starts, so one that crashes at once would count as up."""
    if service.rollout.min_ready is not None:
        return seconds(service.rollout.min_ready)
    return 2 if service.health.ready is None and seconds(service.rollout.deadline) > 2 else 0


def _strategy(service: Service) -> dict[str, Any]:
    if service.rollout.strategy == "recreate":
        return {"type": "Recreate"}
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": service.rollout.surge, "maxUnavailable": service.rollout.unavailable},
    }


def _pod(app: Application, name: str, image: str, mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    pod: dict[str, Any] = {
        "serviceAccountName": name,
        "terminationGracePeriodSeconds": seconds(service.availability.grace),
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": _spread(app, name),
        "containers": [_container(app, name, image, mounted)],
        "volumes": mounted.volumes,
    }
    return {k: v for k, v in pod.items() if v != []}


def _spread(app: Application, name: str) -> list[dict[str, Any]]:
    service = app.services[name]
    if service.count < 2 or service.availability.spread == "none":
        return []
    constraint = {
        "maxSkew": 1,
        "topologyKey": _TOPOLOGY[service.availability.spread],
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(app, name)},
        "matchLabelKeys": ["pod-template-hash"],
    }
    return [constraint]


def _container(app: Application, name: str, image: str, mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "command": [expand(c, app) for c in service.command or ()],
        "args": [expand(a, app) for a in service.args or ()],
        "workingDir": service.working_dir or "",
        "ports": _ports(service),
        "env": env(app, name, mounted.file_secrets),
        "resources": _resources(service.resources),
        "volumeMounts": mounted.mounts,
        **probes(service),
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    return {k: v for k, v in container.items() if v not in ("", [], {})}


def _ports(service: Service) -> list[dict[str, Any]]:
    """One entry for each number the application listens on, under the name of the first port that leads to it."""
    found: dict[tuple[int, str], str] = {}
    for name, port in service.ports.items():
        found.setdefault((port.target or port.port, port.transport), name)
    return [{"name": name, "containerPort": number, "protocol": protocol} for (number, protocol), name in found.items()]


def _resources(resources: Resources) -> dict[str, Any]:
    named = {"cpu": resources.cpu, "memory": resources.memory, "ephemeral-storage": resources.ephemeral}
    requests = {k: r.request for k, r in named.items() if r is not None}
    limits = {k: r.limit for k, r in named.items() if r is not None and r.limit}
    return {k: v for k, v in (("requests", requests), ("limits", limits)) if v}


def disruption_budget(app: Application, name: str) -> list[Object]:
    """How many pods an eviction must leave; nothing for a service of one pod, which could then never be moved."""
    service = app.services[name]
    if service.count < 2:
        return []
    least = service.availability.min_available
    bound = {"maxUnavailable": 1} if least is None else {"minAvailable": least}
    spec = {**bound, "selector": {"matchLabels": selector(app, name)}, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    return [obj("policy/v1", "PodDisruptionBudget", name, app=app, labels=service_labels(app, name), spec=spec)]
