"""How the number and size of pods change: autoscalers (HPA, KEDA, VPA) and the disruption budget."""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.model.scaling import Pace, Scale
from lateen.render.capabilities import KEDA, VPA, Capabilities
from lateen.render.names import obj, seconds, selector, service_labels

PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"


def autoscalers(app: Application, name: str, kind: str, having: Capabilities) -> list[Object]:
    """What decides the number of pods, and their size."""
    service = app.services[name]
    if service.scale is None:
        return []
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    labels = service_labels(app, name)
    objects: list[Object] = []
    if service.automatic:
        if KEDA in having and _wants_keda(service.scale):
            spec = _scaled_object(app, name, service.scale, target)
            objects.append(obj("keda.sh/v1alpha1", "ScaledObject", name, app=app, labels=labels, spec=spec))
        elif metrics := _metrics(name, service.scale):
            spec = {"scaleTargetRef": target, **_bounds(service.scale), "metrics": metrics, **_behavior(service.scale)}
            objects.append(obj("autoscaling/v2", "HorizontalPodAutoscaler", name, app=app, labels=labels, spec=spec))
    if service.scale.vertical and VPA in having:
        policy = {"containerPolicies": [{"containerName": name, "controlledValues": "RequestsOnly"}]}
        spec = {"targetRef": target, "updatePolicy": {"updateMode": "Auto"}, "resourcePolicy": policy}
        objects.append(obj("autoscaling.k8s.io/v1", "VerticalPodAutoscaler", name, app=app, labels=labels, spec=spec))
    return objects


def disruption_budget(app: Application, name: str) -> list[Object]:
    """How many pods an eviction must leave; nothing for a service of one pod, which could then never be moved."""
    service = app.services[name]
    if service.count < 2:
        return []
    least = service.availability.min_available
    bound = {"maxUnavailable": 1} if least is None else {"minAvailable": least}
    spec = {**bound, "selector": {"matchLabels": selector(app, name)}, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    return [obj("policy/v1", "PodDisruptionBudget", name, app=app, labels=service_labels(app, name), spec=spec)]


def _wants_keda(scale: Scale) -> bool:
    return bool(scale.queue or scale.metric or scale.schedule or scale.rps or scale.concurrency or scale.to_zero)


def _bounds(scale: Scale) -> dict[str, Any]:
    return {"minReplicas": max(1, scale.min), "maxReplicas": scale.max}


def _metrics(name: str, scale: Scale) -> list[dict[str, Any]]:
    """Metrics of metrics.k8s.io, custom.metrics.k8s.io (requests) and external.metrics.k8s.io (the rest)."""
    found: list[dict[str, Any]] = []
    for resource, share in (("cpu", scale.cpu), ("memory", scale.memory)):
        if share is not None:
            target = {"type": "Utilization", "averageUtilization": share}
            found.append({"type": "Resource", "resource": {"name": resource, "target": target}})
    for metric, value in (("http_requests_per_second", scale.rps), ("http_requests_in_flight", scale.concurrency)):
        if value is not None:
            target = {"type": "AverageValue", "averageValue": _number(value)}
            found.append({"type": "Pods", "pods": {"metric": {"name": metric}, "target": target}})
    if scale.queue is not None:
        labels = {"queue": scale.queue.name or name, "resource": scale.queue.resource}
        found.append(_external("queue_length", labels, str(scale.queue.length)))
    if scale.metric is not None:
        found.append(_external(f"{name}_scale", {"service": name}, _number(scale.metric.target)))
    return found


def _external(metric: str, labels: dict[str, str], value: str) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": value}
    return {"type": "External", "external": {"metric": {"name": metric, "selector": {"matchLabels": labels}}, "target": target}}


def _number(value: float) -> str:
    """A quantity: whole, or in thousandths."""
    return str(int(value)) if value == int(value) else f"{round(value * 1000)}m"


def _behavior(scale: Scale) -> dict[str, Any]:
    rules = {way: _pace(pace) for way, pace in (("scaleUp", scale.up), ("scaleDown", scale.down)) if pace is not None}
    return {"behavior": rules} if rules else {}


def _pace(pace: Pace) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if pace.window is not None:
        rules["stabilizationWindowSeconds"] = seconds(pace.window)
    if pace.step is not None:
        percent = isinstance(pace.step, str)
        value = int(pace.step[:-1]) if isinstance(pace.step, str) else pace.step
        rules["policies"] = [{"type": "Percent" if percent else "Pods", "value": value, "periodSeconds": seconds(pace.period)}]
    return rules


def _scaled_object(app: Application, name: str, scale: Scale, target: dict[str, str]) -> dict[str, Any]:
    behavior = _behavior(scale)
    zero = scale.to_zero or scale.min == 0
    return {
        "scaleTargetRef": target,
        "minReplicaCount": 0 if zero else scale.min,
        "maxReplicaCount": scale.max,
        **({"advanced": {"horizontalPodAutoscalerConfig": behavior}} if behavior else {}),
        "triggers": _triggers(app, name, scale),
    }


def _triggers(app: Application, name: str, scale: Scale) -> list[dict[str, Any]]:
    """Every value of a trigger's metadata is text."""
    found: list[dict[str, Any]] = []
    for resource, share in (("cpu", scale.cpu), ("memory", scale.memory)):
        if share is not None:
            found.append({"type": resource, "metricType": "Utilization", "metadata": {"value": str(share)}})
    where = f'namespace="{app.namespace}",service="{name}"'
    if scale.rps is not None:
        found.append(_prometheus(f"sum(rate(http_server_request_duration_seconds_count{{{where}}}[1m]))", scale.rps))
    if scale.concurrency is not None:
        found.append(_prometheus(f"sum(http_server_active_requests{{{where}}})", scale.concurrency))
    if scale.metric is not None:
        found.append(_prometheus(scale.metric.query, scale.metric.target))
    if scale.queue is not None:
        found.append(_queue(app, name, scale))
    for window in scale.schedule:
        end = window.end or window.cron
        metadata = {"timezone": window.time_zone, "start": window.cron, "end": end, "desiredReplicas": str(window.min)}
        found.append({"type": "cron", "metadata": metadata})
    return found


def _prometheus(query: str, threshold: float) -> dict[str, Any]:
    text = str(int(threshold)) if threshold == int(threshold) else str(threshold)
    return {"type": "prometheus", "metadata": {"serverAddress": PROMETHEUS, "query": query, "threshold": text}}


def _queue(app: Application, name: str, scale: Scale) -> dict[str, Any]:
    assert scale.queue is not None  # asked by the caller
    resource = app.spec.resources[scale.queue.resource]
    host = resource.outputs.get("host", f"{scale.queue.resource}.{app.namespace}.svc")
    address, queue, length = (
        f"{host}:{resource.outputs.get('port', resource.kind.port)}",
        scale.queue.name or name,
        scale.queue.length,
    )
    match resource.type:
        case "rabbitmq":
            metadata = {
                "protocol": "auto",
                "mode": "QueueLength",
                "value": str(length),
                "queueName": queue,
            }
            metadata["hostFromEnv"] = f"{scale.queue.resource.upper().replace('-', '_')}_URL"
            return {"type": "rabbitmq", "metadata": metadata}
        case "kafka":
            metadata = {"bootstrapServers": address, "topic": queue, "consumerGroup": name, "lagThreshold": str(length)}
            return {"type": "kafka", "metadata": metadata}
        case "nats":
            monitor = f"{host}:8222"
            metadata = {
                "natsServerMonitoringEndpoint": monitor,
                "account": "$G",
                "stream": queue,
                "consumer": name,
                "lagThreshold": str(length),
            }
            return {"type": "nats-jetstream", "metadata": metadata}
        case _:
            return {"type": "redis", "metadata": {"address": address, "listName": queue, "listLength": str(length)}}
