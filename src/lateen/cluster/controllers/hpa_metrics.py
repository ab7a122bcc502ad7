"""What a HorizontalPodAutoscaler's metrics say: read from metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io.

Each kind of metric becomes a ``Proposal`` (``hpa_plan``) and the entry of ``status.currentMetrics`` that shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lateen.cluster.controllers import hpa_plan as plan
from lateen.cluster.controllers.kit import Kit, pod_ready, spec_of, status_of
from lateen.errors import ApiError, NotFoundError, TransportError
from lateen.kube import quantity
from lateen.kube.meta import Object, key_of, meta, parse_time

_CUSTOM, _EXTERNAL = "/apis/custom.metrics.k8s.io", "/apis/external.metrics.k8s.io/v1beta1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """What is scaled: its pods, how many it has, the selector as text."""

    hpa: Object
    pods: Sequence[Object]
    current: int
    running: int  # what the scale's status says
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
        try:
            items = await self._read(path, {"labelSelector": scaled.selector}, "resource metrics API")
        except plan.MetricError as error:
            why = f"unable to get metrics for resource {name}: {error.message}"
            raise plan.MetricError(reason, f"failed to get {name} utilization: {why}") from error
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
        name, target = source["metric"]["name"], quantity.milli(source["target"]["averageValue"])
        words = "failed to get pods metric value"
        query = {"labelSelector": scaled.selector, "metricLabelSelector": _selector(source["metric"])}
        try:
            items = await self._custom(f"/namespaces/{scaled.namespace}/pods/*/{quote(name)}", query)
            groups = plan.grouped(scaled.pods, _samples(items), cpu=False, now=self._kit.clock.now())
            tolerance = plan.tolerance_of(scaled.hpa)
            found = plan.by_average(groups, _samples(items), target=target, current=scaled.current, tolerance=tolerance)
        except plan.MetricError as error:
            why = error.message if error.reason else f"unable to get metric {name}: {error.message}"
            raise plan.MetricError("FailedGetPodsMetric", f"{words}: {why}") from error
        return found, {"type": "Pods", "pods": {"metric": source["metric"], "current": {"averageValue": _text(found.value)}}}

    async def _object(self, scaled: Scaled, source: Mapping[str, Any]) -> tuple[plan.Proposal, dict[str, Any]]:
        name, about = source["metric"]["name"], source["describedObject"]
        path = f"{await self._place(scaled.namespace, about)}/{quote(name)}"
        try:
            items = await self._custom(path, {"metricLabelSelector": _selector(source["metric"])})
        except plan.MetricError as error:
            where = f"{about['kind']} on {scaled.namespace} {about['name']}"
            why = f"unable to get metric {name}: {where}/{error.message}"
            raise plan.MetricError("FailedGetObjectMetric", f"failed to get object metric value: {why}") from error
        found, current = _whole(scaled, source["target"], quantity.milli(items[0]["value"]))
        return found, {"type": "Object", "object": {"metric": source["metric"], "describedObject": about, "current": current}}

    async def _place(self, namespace: str, about: Mapping[str, Any]) -> str:
        """Where custom.metrics.k8s.io has an object's metrics; a namespace's are at ``metrics``."""
        version = str(about.get("apiVersion") or "")
        if about["kind"] == "Namespace" and version == "v1":
            return f"/namespaces/{namespace}/metrics"
        resource = await self._kit.discovery.find(version, about["kind"])
        plural = f"{resource.plural}.{resource.group}".rstrip(".") if resource else about["kind"].lower()
        return f"/namespaces/{namespace}/{plural}/{about['name']}"

    async def _external(self, scaled: Scaled, source: Mapping[str, Any]) -> tuple[plan.Proposal, dict[str, Any]]:
        name = source["metric"]["name"]
        path = f"{_EXTERNAL}/namespaces/{scaled.namespace}/{quote(name)}"
        try:
            items = await self._read(path, {"labelSelector": _selector(source["metric"])}, "external metrics API")
        except plan.MetricError as error:
            whose = f"{scaled.namespace}/{name}/{plan.selector_words(source['metric'].get('selector'))}"
            why = f"unable to get external metric {whose}: {error.message}"
            raise plan.MetricError("FailedGetExternalMetric", f"failed to get {name} external metric value: {why}") from error
        found, current = _whole(scaled, source["target"], sum(quantity.milli(i["value"]) for i in items))
        return found, {"type": "External", "external": {"metric": source["metric"], "current": current}}

    async def _custom(self, path: str, query: Mapping[str, str]) -> list[Object]:
        """A custom metric, from v1beta2 or, where an adapter has only that, v1beta1."""
        words = "custom metrics API"
        try:
            return await self._read(f"{_CUSTOM}/v1beta2{path}", query, words, absent_ok=True)
        except NotFoundError:
            return await self._read(f"{_CUSTOM}/v1beta1{path}", query, words)

    async def _read(self, path: str, query: Mapping[str, str], words: str, *, absent_ok: bool = False) -> list[Object]:
        """The items at a path. MetricError without a reason, because only the caller knows it; NotFoundError if ``absent_ok``."""
        try:
            answer = (await self._kit.client.raw("GET", path, query={k: v for k, v in query.items() if v})).object
        except (ApiError, TransportError) as error:
            if absent_ok and isinstance(error, NotFoundError):
                raise
            raise plan.MetricError("", f"unable to fetch metrics from {words}: {error}") from error
        items: list[Object] = (answer or {}).get("items") or []
        if not items:
            raise plan.MetricError("", f"no metrics returned from {words}")
        return items


def _samples(items: Sequence[Object]) -> dict[str, plan.Sample]:
    return {
        i["describedObject"]["name"]: plan.Sample(
            quantity.milli(i["value"]), parse_time(i["timestamp"]), float(i.get("windowSeconds") or 60)
        )
        for i in items
    }


def _whole(scaled: Scaled, target: Mapping[str, Any], value: int) -> tuple[plan.Proposal, dict[str, Any]]:
    """One value for all pods together."""
    tolerance = plan.tolerance_of(scaled.hpa)
    if target.get("averageValue") is not None:
        average = quantity.milli(target["averageValue"])
        wanted = plan.by_total(value, average, current=scaled.running, tolerance=tolerance)
        share = -(-value // scaled.running) if scaled.running else value
        return plan.Proposal(wanted, share), {"averageValue": _text(share)}
    ready = sum(pod_ready(p) and status_of(p).get("phase") == "Running" for p in scaled.pods)
    wanted = plan.by_value(value, quantity.milli(target["value"]), ready=ready, current=scaled.current, tolerance=tolerance)
    return plan.Proposal(wanted, value), {"value": _text(value)}


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
    return quantity.canonical(str(milli // 1000) if milli % 1000 == 0 or resource == "memory" else f"{milli}m")


def _seconds(window: str | None) -> float:
    return float((window or "0s").rstrip("s") or 0)
