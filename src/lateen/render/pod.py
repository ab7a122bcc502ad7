"""The pods of a service: its container, those before and beside it, and where they may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.model import Application, Service
from lateen.model.container import Container, Health, Hook, Port, Resources
from lateen.render.environment import env, expand, inner_env
from lateen.render.names import labels, priority_class, seconds, selector
from lateen.render.probes import probes
from lateen.render.security import account_name, container_context, pod_context, scratch
from lateen.render.volumes import Volumes

_TOPOLOGY = {"host": "kubernetes.io/hostname", "zone": "topology.kubernetes.io/zone"}


def template(app: Application, name: str, image: str, mounted: Volumes, version: str) -> dict[str, Any]:
    """The pod template of a service."""
    service = app.services[name]
    metadata: dict[str, Any] = {"labels": labels(app, name, service.role, version)}
    if found := _annotations(app, name):
        metadata["annotations"] = found
    return {"metadata": metadata, "spec": _spec(app, name, image, mounted)}


def hook_template(app: Application, name: str, hook: Hook, title: str, *, image: str, mounted: Volumes) -> dict[str, Any]:
    """The pod template of a hook: the service's pod with another command, and none of its traffic."""
    service = app.services[name]
    container = _main(app, name, hook.image or image, mounted) | {"name": title}
    for field in ("ports", "readinessProbe", "livenessProbe", "startupProbe", "lifecycle", "args"):
        container.pop(field, None)
    container["command"] = [expand(c, app) for c in hook.command]
    spec = _base(app, name, mounted) | {"restartPolicy": "Never", "containers": [container]}
    own = labels(app, f"{name}-{title}", "hook")
    return {"metadata": {"labels": {**service.labels, **own}}, "spec": _without_empty(spec)}


def _annotations(app: Application, name: str) -> dict[str, str]:
    service = app.services[name]
    found = dict(service.annotations)
    if (metrics := service.observe.metrics) is not None:
        port = service.ports[metrics.port or next(iter(service.ports))]
        found |= {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(port.target or port.port),
            "prometheus.io/path": metrics.path,
        }
    if service.observe.logs == "json":
        found["lateen.dev/logs"] = "json"
    if mains := list(service.sidecars):
        found["kubectl.kubernetes.io/default-container"] = name if mains else ""
    return found


def _spec(app: Application, name: str, image: str, mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    spec = _base(app, name, mounted)
    spec["initContainers"] = _before(app, name, image, mounted)
    spec["containers"] = [_main(app, name, image, mounted)]
    spec["topologySpreadConstraints"] = _spread(app, name)
    if service.role in ("job", "cron"):
        spec["restartPolicy"] = "Never"
    return _without_empty(spec)


def _base(app: Application, name: str, mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    return {
        "serviceAccountName": account_name(app, name),
        "automountServiceAccountToken": True if service.identity.rbac else None,
        "terminationGracePeriodSeconds": seconds(service.availability.grace),
        "priorityClassName": priority_class(app, service.availability.priority),
        "securityContext": pod_context(service),
        "topologySpreadConstraints": [],
        "initContainers": [],
        "containers": [],
        "volumes": [*mounted.volumes, *([{"name": "tmp", "emptyDir": {}}] if scratch(service) else [])],
    }


def _spread(app: Application, name: str) -> list[dict[str, Any]]:
    service = app.services[name]
    if service.count < 2 or service.availability.spread == "none" or service.role in ("job", "cron", "daemon"):
        return []
    constraint = {
        "maxSkew": 1,
        "topologyKey": _TOPOLOGY[service.availability.spread],
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(app, name)},
    }
    if service.role != "stateful":
        constraint["matchLabelKeys"] = ["pod-template-hash"]
    return [constraint]


def _main(app: Application, name: str, image: str, mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "command": [expand(c, app) for c in service.command or ()],
        "args": [expand(a, app) for a in service.args or ()],
        "workingDir": service.working_dir,
        "ports": _ports(service.ports),
        "env": env(app, name, mounted.file_secrets),
        "envFrom": [{"configMapRef": {"name": n}} for n in service.env_from],
        "resources": _resources(service.resources),
        "volumeMounts": _mounts(service, mounted),
        **probes(service.health, service.ports, service.rollout.deadline),
        "lifecycle": _lifecycle(app, service),
        "securityContext": container_context(service),
    }
    return _without_empty(container)


def _lifecycle(app: Application, service: Service) -> dict[str, Any]:
    hook = service.hooks.pre_stop
    return {"preStop": {"exec": {"command": [expand(c, app) for c in hook.command]}}} if hook is not None else {}


def _before(app: Application, name: str, image: str, mounted: Volumes) -> list[dict[str, Any]]:
    """Sidecars first, since init containers may need them; both start in the order of the file."""
    service = app.services[name]
    found = [
        _inner(app, name, n, c, image=image, mounted=mounted) | {"restartPolicy": "Always"} for n, c in service.sidecars.items()
    ]
    return found + [_inner(app, name, n, c, image=image, mounted=mounted) for n, c in service.init.items()]


def _inner(app: Application, name: str, inner: str, found: Container, *, image: str, mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    health = found.health
    if found.before == "healthy" and health.startup is None:
        health = Health(ready=health.ready, live=health.live, startup=health.ready)
    container: dict[str, Any] = {
        "name": inner,
        "image": found.image or image,
        "command": [expand(c, app) for c in found.command or ()],
        "args": [expand(a, app) for a in found.args or ()],
        "ports": _ports(found.ports),
        "env": inner_env(app, name, found),
        "resources": _resources(found.resources),
        "volumeMounts": _mounts(service, mounted),
        **(probes(health, found.ports, service.rollout.deadline, patient=False) if inner in service.sidecars else {}),
        "securityContext": container_context(service),
    }
    return _without_empty(container)


def _mounts(service: Service, mounted: Volumes) -> list[dict[str, Any]]:
    return [*mounted.mounts, *([{"name": "tmp", "mountPath": "/tmp"}] if scratch(service) else [])]  # noqa: S108 # in the container


def _ports(ports: Mapping[str, Port]) -> list[dict[str, Any]]:
    """One entry for each number the application listens on, under the name of the first port that leads to it."""
    found: dict[tuple[int, str], str] = {}
    for name, port in ports.items():
        found.setdefault((port.target or port.port, port.transport), name)
    return [{"name": name, "containerPort": number, "protocol": protocol} for (number, protocol), name in found.items()]


def _resources(resources: Resources) -> dict[str, Any]:
    named = {"cpu": resources.cpu, "memory": resources.memory, "ephemeral-storage": resources.ephemeral}
    requests: dict[str, Any] = {k: r.request for k, r in named.items() if r is not None}
    limits: dict[str, Any] = {k: r.limit for k, r in named.items() if r is not None and r.limit}
    if resources.gpu is not None:
        limits["nvidia.com/gpu"] = str(resources.gpu)
    return {k: v for k, v in (("requests", requests), ("limits", limits)) if v}


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in fields.items() if v not in (None, "", [], {})}
