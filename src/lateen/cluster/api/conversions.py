"""Built-in kinds that two versions serve: how the other version's objects become stored ones and back. Pure.

Events are stored as core/v1, HorizontalPodAutoscalers as autoscaling/v2. What a version cannot say is carried in the fields that
Kubernetes provides for that (deprecated* fields of events, an annotation of autoscaling/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lateen.kube.meta import Object

# events.k8s.io/v1 name -> core/v1 name
_EVENT = {
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "reportingController": "reportingComponent",
}
_EVENT_BACK = {v: k for k, v in _EVENT.items()}
_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_STATUS_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def _renamed(obj: Object, names: Mapping[str, str], api_version: str) -> Object:
    return {names.get(k, k): v for k, v in obj.items()} | {"apiVersion": api_version}


def event_to_core(obj: Object) -> Object:
    """events.k8s.io/v1 -> v1."""
    return _renamed(obj, _EVENT, "v1")


def event_from_core(obj: Object) -> Object:
    """v1 -> events.k8s.io/v1."""
    return _renamed(obj, _EVENT_BACK, "events.k8s.io/v1")


def hpa_to_v2(obj: Object) -> Object:
    """autoscaling/v1 -> v2: the CPU target becomes a metric, annotations become fields."""
    meta, spec, status = dict(obj["metadata"]), dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(meta.get("annotations") or {})
    metrics = orjson.loads(annotations.pop(_METRICS, "[]"))
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        metrics.insert(
            0, {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}}}
        )
    if metrics:
        spec["metrics"] = metrics
    if _BEHAVIOR in annotations:
        spec["behavior"] = orjson.loads(annotations.pop(_BEHAVIOR))
    current = orjson.loads(annotations.pop(_STATUS_METRICS, "[]"))
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None:
        current.insert(
            0, {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used, "averageValue": "0"}}}
        )
    if current:
        status["currentMetrics"] = current
    if _CONDITIONS in annotations:
        status["conditions"] = orjson.loads(annotations.pop(_CONDITIONS))
    return _hpa(obj, "autoscaling/v2", meta, annotations, spec, status)


def hpa_from_v2(obj: Object) -> Object:
    """autoscaling/v2 -> v1."""
    meta, spec, status = dict(obj["metadata"]), dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(meta.get("annotations") or {})
    cpu, others = _split(spec.pop("metrics", None) or [], "target")
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = cpu
    used, current = _split(status.pop("currentMetrics", None) or [], "current")
    if used is not None:
        status["currentCPUUtilizationPercentage"] = used
    carried = {
        _METRICS: others,
        _STATUS_METRICS: current,
        _CONDITIONS: status.pop("conditions", None),
        _BEHAVIOR: spec.pop("behavior", None),
    }
    annotations |= {k: orjson.dumps(v).decode() for k, v in carried.items() if v}
    return _hpa(obj, "autoscaling/v1", meta, annotations, spec, status)


def _split(metrics: list[Any], part: str) -> tuple[int | None, list[Any]]:
    """(the CPU utilization, the other metrics)."""
    found, others = None, []
    for metric in metrics:
        resource = metric.get("resource") or {}
        percent = (resource.get(part) or {}).get("averageUtilization")
        if found is None and metric.get("type") == "Resource" and resource.get("name") == "cpu" and percent is not None:
            found = int(percent)
        else:
            others.append(metric)
    return found, others


def _hpa(obj: Object, version: str, meta: Object, annotations: Object, spec: Object, status: Object) -> Object:
    meta.pop("annotations", None)
    new: Object = {**obj, "apiVersion": version, "metadata": meta | ({"annotations": annotations} if annotations else {})}
    if "spec" in obj:
        new["spec"] = spec
    if "status" in obj:
        new["status"] = status
    return new


CONVERSIONS = {
    ("events.k8s.io", "v1", "events"): ("v1", event_to_core, event_from_core),
    ("autoscaling", "v1", "horizontalpodautoscalers"): ("autoscaling/v2", hpa_to_v2, hpa_from_v2),
}
