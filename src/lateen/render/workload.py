"""What runs the pods of a service: Deployment, StatefulSet, DaemonSet, Job or CronJob, by its kind; and the Jobs of its hooks."""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application, Service
from lateen.model.container import Hook
from lateen.render.names import content_hash, image_version, labels, obj, seconds, selector
from lateen.render.pod import hook_template, template
from lateen.render.volumes import Volumes

DEPENDS_ON = "config.kubernetes.io/depends-on"  # what appliers agree on: the objects to wait for, comma-separated
_KINDS = {"stateful": "StatefulSet", "daemon": "DaemonSet", "job": "Job", "cron": "CronJob"}
_DAY = 86400


def kind_of(service: Service) -> str:
    """The Kubernetes kind that runs the service."""
    return _KINDS.get(service.role, "Deployment")


def workload(app: Application, name: str, image: str, mounted: Volumes) -> list[Object]:
    """The object that runs ``image``, and the Jobs of its hooks."""
    service, kind = app.services[name], kind_of(app.services[name])
    version = image_version(image)
    pods = template(app, name, image, mounted, version)
    make = {"StatefulSet": _stateful_set, "DaemonSet": _daemon_set, "Job": _job, "CronJob": _cron_job}.get(kind, _deployment)
    spec = make(app, name, pods, mounted)
    title = f"{name}-{content_hash(spec)}" if kind == "Job" else name
    group = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    own = {**service.labels, **labels(app, name, service.role, version)}
    result = obj(group, kind, title, app=app, labels=own, spec=spec)
    hooks = _hooks(app, name, image, mounted)
    waits = [reference for n, need in service.needs.items() if need.order == "ready" and (reference := _waited(app, n))]
    waits += [f"batch/namespaces/{app.namespace}/Job/{h['metadata']['name']}" for h in hooks if not _after(h)]
    if waits:
        result["metadata"]["annotations"] = {DEPENDS_ON: ",".join(sorted(waits))}
    for hook in hooks:
        before = f"apps/namespaces/{app.namespace}/{kind}/{name}" if _after(hook) else _hook_waits(app, service)
        if before:
            hook["metadata"]["annotations"][DEPENDS_ON] = before
    return [*hooks, result]


def _waited(app: Application, needed: str) -> str:
    """What stands for a needed service or resource; empty for what is not of this application."""
    if needed in app.services:
        return f"apps/namespaces/{app.namespace}/{kind_of(app.services[needed])}/{needed}"
    resource = app.spec.resources.get(needed)
    return f"apps/namespaces/{app.namespace}/StatefulSet/{needed}" if resource is not None and resource.class_ == "cluster" else ""


def _deployment(app: Application, name: str, pods: dict[str, Any], mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    return {
        **({} if service.automatic else {"replicas": service.count}),
        "progressDeadlineSeconds": seconds(service.rollout.deadline),
        **({"revisionHistoryLimit": service.rollout.history} if service.rollout.history != 10 else {}),
        **({"minReadySeconds": settle} if (settle := _min_ready(service)) else {}),
        "strategy": _strategy(service),
        "selector": {"matchLabels": selector(app, name)},
        "template": pods,
    }


def _stateful_set(app: Application, name: str, pods: dict[str, Any], mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    keep = all(s.retain for s in service.storage.values())
    return {
        "serviceName": f"{name}-pods" if service.ports else name,
        **({} if service.automatic else {"replicas": service.count}),
        **({"minReadySeconds": settle} if (settle := _min_ready(service)) else {}),
        "updateStrategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": selector(app, name)},
        "template": pods,
        **({"volumeClaimTemplates": mounted.claims} if mounted.claims else {}),
        **(
            {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"}}
            if mounted.claims and not keep
            else {}
        ),
    }


def _daemon_set(app: Application, name: str, pods: dict[str, Any], mounted: Volumes) -> dict[str, Any]:
    service = app.services[name]
    surge, missing = service.rollout.surge, service.rollout.unavailable
    bounds = (
        {"maxSurge": surge, "maxUnavailable": 0}
        if "surge" in service.rollout.model_fields_set
        else {"maxUnavailable": missing if missing not in (0, "0%") else 1}
    )
    return {
        **({"minReadySeconds": settle} if (settle := _min_ready(service)) else {}),
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": bounds},
        "selector": {"matchLabels": selector(app, name)},
        "template": pods,
    }


def _job(app: Application, name: str, pods: dict[str, Any], mounted: Volumes) -> dict[str, Any]:
    job = app.services[name].job
    return {
        "completions": job.completions,
        "parallelism": job.parallelism,
        **({"completionMode": "Indexed"} if job.indexed else {}),
        "backoffLimit": job.retries,
        **({"activeDeadlineSeconds": seconds(job.timeout)} if job.timeout is not None else {}),
        **({"ttlSecondsAfterFinished": seconds(job.keep)} if job.keep is not None else {}),
        **({"suspend": True} if job.suspend and app.services[name].role == "job" else {}),
        "template": pods,
    }


def _cron_job(app: Application, name: str, pods: dict[str, Any], mounted: Volumes) -> dict[str, Any]:
    service, job = app.services[name], app.services[name].job
    inner = _job(app, name, pods, mounted)
    inner.setdefault("ttlSecondsAfterFinished", _DAY)
    return {
        "schedule": service.schedule,
        "timeZone": job.time_zone,
        "concurrencyPolicy": job.concurrency.capitalize(),
        **({"startingDeadlineSeconds": seconds(job.deadline)} if job.deadline is not None else {}),
        **({"suspend": True} if job.suspend else {}),
        "jobTemplate": {"metadata": {"labels": labels(app, name, service.role)}, "spec": inner},
    }


def _hooks(app: Application, name: str, image: str, mounted: Volumes) -> list[Object]:
    hooks = app.services[name].hooks
    named = (("pre-sync", hooks.pre_sync), ("migrate", hooks.migrate), ("post-sync", hooks.post_sync))
    return [_hook(app, name, hook, title, image=image, mounted=mounted) for title, hook in named if hook is not None]


def _hook(app: Application, name: str, hook: Hook, title: str, *, image: str, mounted: Volumes) -> Object:
    """A Job named after its content: a new version brings a new one, and the same one never runs twice."""
    spec = {
        "backoffLimit": hook.retries,
        "activeDeadlineSeconds": seconds(hook.timeout),
        "template": hook_template(app, name, hook, title, image=image, mounted=mounted),
    }
    own = labels(app, f"{name}-{title}", "hook")
    result = obj("batch/v1", "Job", f"{name}-{title}-{content_hash(spec)}", app=app, labels=own, spec=spec)
    result["metadata"]["annotations"] = {"lateen.dev/hook": title}
    return result


def _after(hook: Object) -> bool:
    return bool(hook["metadata"]["annotations"]["lateen.dev/hook"] == "post-sync")


def _hook_waits(app: Application, service: Service) -> str:
    """A hook needs what its service needs: a migration its database."""
    found = [r for n, need in service.needs.items() if need.order == "ready" and not need.optional and (r := _waited(app, n))]
    return ",".join(sorted(found))


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
