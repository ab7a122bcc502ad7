"""What a HorizontalPodAutoscaler's metrics say: read from metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io.

Each kind of metric becomes a ``Proposal`` (``hpa_plan``) and the entry of ``status.currentMetrics`` that shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lateen.cluster.controllers import hpa_plan as plan
from lateen.cluster.controllers.kit import Kit, pod_ready, spec_of
from lateen.errors import ApiError, TransportError
from lateen.kube import quantity
from lateen.kube.meta import Object, key_of, meta, parse_time

_CUSTOM, _EXTERNAL = "/apis/custom.metrics.k8s.io/v1beta2", "/apis/external.metrics.k8s.io/v1beta1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """What is scaled: its pods, how many it has, the selector as text."""

    hpa: Object
    pods: Sequence[Object]
    current: int
    selector: str

    @property
    def namespace(self) -> str:
        return key_of(self.hpa).namespace


class Metrics:
    """Reads metrics for one autoscaler at a time."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def proposal(self, scaled: Scaled, metric: Mapping[str, Any]) -> tuple[plan.Proposal, dict[str, Any]]:
        """What one metric asks for, and how the status shows it. MetricError."""
        kind = metric["type"]
        if kind == "Resource":
            return await self._resource(scaled, metric["resource"], "")
        if kind == "ContainerResource":
            return await self._resource(scaled, metric["containerResource"], metric["containerResource"]["container"])
        if kind == "Pods":
            return await self._pods(scaled, metric["pods"])
        if kind == "Object":
            return await self._object(scaled, metric["object"])
        if kind == "External":
            return await self._external(scaled, metric["external"])
        raise plan.MetricError("InvalidMetricSourceType", f"unknown metric source type {kind}")

    async def _resource(self, scaled: Scaled, source: Mapping[str, Any], container: str) -> tuple[plan.Proposal, dict[str, Any]]:
        name, target = source["name"], source["target"]
        reason = "FailedGetContainerResourceMetric" if container else "FailedGetResourceMetric"
        samples = await self._samples(scaled, name, container, reason)
        groups = plan.grouped(scaled.pods, samples, cpu=name == "cpu", now=self._kit.clock.now())
        current, tolerance = scaled.current, plan.tolerance_of(scaled.hpa)
        try:
            if target["type"] == "Utilization":
                asked = _requests(scaled.pods, name, container, reason)
                share = int(target["averageUtilization"])
                found = plan.by_utilization(groups, samples, asked, target=share, current=current, tolerance=tolerance)
            else:
                value = quantity.milli(target["averageValue"])
                found = plan.by_average(groups, samples, target=value, current=current, tolerance=tolerance)
        except plan.MetricError as error:
            raise plan.MetricError(reason, f"failed to get {name} utilization: {error.message}") from error
        shown: dict[str, Any] = {"averageValue": _text(found.value, name)}
        if found.utilization is not None:
            shown["averageUtilization"] = found.utilization
        if container:
            entry = {"name": name, "container": container, "current": shown}
            return found, {"type": "ContainerResource", "containerResource": entry}
        return found, {"type": "Resource", "resource": {"name": name, "current": shown}}

    async def _samples(self, scaled: Scaled, name: str, container: str, reason: str) -> dict[str, plan.Sample]:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{scaled.namespace}/pods"
        items = await self._read(path, {"labelSelector": scaled.selector}, reason, f"unable to get metrics for resource {name}")
        found: dict[str, plan.Sample] = {}
        for item in items:
            used = [c["usage"] for c in item.get("containers") or () if container in ("", c["name"]) and name in c["usage"]]
            if used:
                value = sum(quantity.milli(u[name]) for u in used)
                found[meta(item)["name"]] = plan.Sample(value, parse_time(item["timestamp"]), _seconds(item.get("window")))
        if not found:
            text = f"unable to get metrics for resource {name}: no metrics returned from resource metrics API"
            raise plan.MetricError(reason, f"failed to get {name} utilization: {text}")
        return found

    async def _pods(self, scaled: Scaled, source: Mapping[str, Any]) -> tuple[plan.Proposal, dict[str, Any]]:
        name, reason = source["metric"]["name"], "FailedGetPodsMetric"
        path = f"{_CUSTOM}/namespaces/{scaled.namespace}/pods/*/{quote(name)}"
        query = {"labelSelector": scaled.selector, "metricLabelSelector": _selector(source["metric"])}
        items = await self._read(path, query, reason, f"unable to get metric {name}")
        samples = {
            i["describedObject"]["name"]: plan.Sample(
                quantity.milli(i["value"]), parse_time(i["timestamp"]), float(i.get("windowSeconds") or 60)
            )
            for i in items
        }
        groups = plan.grouped(scaled.pods, samples, cpu=False, now=self._kit.clock.now())
        target = quantity.milli(source["target"]["averageValue"])
        found = plan.by_average(groups, samples, target=target, current=scaled.current, tolerance=plan.tolerance_of(scaled.hpa))
        return found, {"type": "Pods", "pods": {"metric": source["metric"], "current": {"averageValue": _text(found.value)}}}

    async def _object(self, scaled: Scaled, source: Mapping[str, Any]) -> tuple[plan.Proposal, dict[str, Any]]:
        name, about, reason = source["metric"]["name"], source["describedObject"], "FailedGetObjectMetric"
        resource = await self._kit.discovery.find(about["apiVersion"], about["kind"])
        plural = f"{resource.plural}.{resource.group}".rstrip(".") if resource else about["kind"].lower()
        path = f"{_CUSTOM}/namespaces/{scaled.namespace}/{plural}/{about['name']}/{quote(name)}"
        words = f"unable to get metric {name}: {about['kind']} on {scaled.namespace} {about['name']}"
        items = await self._read(path, {"metricLabelSelector": _selector(source["metric"])}, reason, words)
        found, current = self._whole(scaled, source["target"], sum(quantity.milli(i["value"]) for i in items))
        return found, {"type": "Object", "object": {"metric": source["metric"], "describedObject": about, "current": current}}

    async def _external(self, scaled: Scaled, source: Mapping[str, Any]) -> tuple[plan.Proposal, dict[str, Any]]:
        name, reason = source["metric"]["name"], "FailedGetExternalMetric"
        path = f"{_EXTERNAL}/namespaces/{scaled.namespace}/{quote(name)}"
        query = {"labelSelector": _selector(source["metric"])}
        items = await self._read(path, query, reason, f"unable to get external metric {scaled.namespace}/{name}")
        found, current = self._whole(scaled, source["target"], sum(quantity.milli(i["value"]) for i in items))
        return found, {"type": "External", "external": {"metric": source["metric"], "current": current}}

    def _whole(self, scaled: Scaled, target: Mapping[str, Any], value: int) -> tuple[plan.Proposal, dict[str, Any]]:
        """One value for all pods together."""
        tolerance, current = plan.tolerance_of(scaled.hpa), scaled.current
        if target["type"] == "AverageValue":
            wanted = plan.by_total(value, quantity.milli(target["averageValue"]), current=current, tolerance=tolerance)
            return plan.Proposal(wanted, value), {"averageValue": _text(value // max(1, current))}
        ready = sum(map(pod_ready, scaled.pods))
        wanted = plan.by_value(value, quantity.milli(target["value"]), ready=ready, current=current, tolerance=tolerance)
        return plan.Proposal(wanted, value), {"value": _text(value)}

    async def _read(self, path: str, query: Mapping[str, str], reason: str, words: str) -> list[Object]:
        try:
            answer = (await self._kit.client.raw("GET", path, query={k: v for k, v in query.items() if v})).object
        except (ApiError, TransportError) as error:
            raise plan.MetricError(reason, f"{words}: unable to fetch metrics: {error}") from error
        items: list[Object] = answer.get("items") or []
        if not items and reason != "FailedGetResourceMetric":
            raise plan.MetricError(reason, f"{words}: no metrics returned")
        return items


def _requests(pods: Sequence[Object], name: str, container: str, reason: str) -> dict[str, int]:
    """What each pod asked for, in milli. MetricError when a container asked for nothing."""
    found: dict[str, int] = {}
    for pod in pods:
        total = 0
        sidecars = (c for c in spec_of(pod).get("initContainers") or () if c.get("restartPolicy") == "Always")
        for one in (*spec_of(pod)["containers"], *sidecars):
            if container not in ("", one["name"]):
                continue
            asked = ((one.get("resources") or {}).get("requests") or {}).get(name)
            if asked is None:
                raise plan.MetricError(reason, f"missing request for {name} in container {one['name']} of Pod {meta(pod)['name']}")
            total += quantity.milli(asked)
        found[meta(pod)["name"]] = total
    return found


def _selector(metric: Mapping[str, Any]) -> str:
    selector = metric.get("selector") or {}
    parts = [f"{k}={v}" for k, v in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        values, operator = ",".join(rule.get("values") or ()), rule["operator"]
        forms = {"In": f"{rule['key']} in ({values})", "NotIn": f"{rule['key']} notin ({values})", "Exists": rule["key"]}
        parts.append(forms.get(operator, f"!{rule['key']}"))
    return ",".join(parts)


def _text(milli: int, resource: str = "") -> str:
    """A quantity: whole where it is, bytes for memory."""
    return str(milli // 1000) if milli % 1000 == 0 or resource == "memory" else f"{milli}m"


def _seconds(window: str | None) -> float:
    return float((window or "0s").rstrip("s") or 0)
