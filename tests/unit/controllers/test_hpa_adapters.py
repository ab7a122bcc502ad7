"""Autoscaling by custom and external metrics: a real adapter behind an APIService, read through the aggregation layer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from extension import behind_service, extension
from tests.unit.controllers.conftest import CLOCK, World

from lateen.cluster.controllers.hpa_plan import metric_words
from lateen.kube.meta import Object, condition, timestamp
from lateen.kube.resources import APISERVICES, DEPLOYMENTS, EVENTS, HPAS, PODS

GROUPS = {"custom.metrics.k8s.io": "v1beta2", "external.metrics.k8s.io": "v1beta1"}
LABELS = {"app": "web"}
SELECTOR = "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}"


class Adapter:
    """Serves what it is told: (path below the version) -> value."""

    def __init__(self, world: World) -> None:
        self.world, self.values, self.asked = world, dict[str, str](), list[str]()

    async def __call__(self, request: web.Request) -> web.Response:
        _, _, group, version, *rest = request.path.split("/")
        if not rest:
            return web.json_response({"kind": "APIResourceList", "groupVersion": f"{group}/{version}", "resources": []})
        path = "/".join(rest)
        self.asked.append(request.path_qs)
        value = self.values.get(path)
        if value is None:
            status = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": f"no metric at {path}"}
            return web.json_response(status, status=404)
        names = [p["metadata"]["name"] for p in (await self.world.client.list(PODS, "default")).items] if "/*/" in path else ["x"]
        items = [{"describedObject": {"name": n}, "value": value, "timestamp": timestamp(CLOCK.now())} for n in names]
        return web.json_response({"kind": "MetricValueList", "items": items})


@pytest.fixture
async def adapter(world: World, tmp_path: Path) -> AsyncIterator[Adapter]:
    made = Adapter(world)
    async with extension(tmp_path, made) as found:
        await behind_service(world.client, found.port)
        for group, version in GROUPS.items():
            spec = {"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100}
            spec |= {"service": {"namespace": "default", "name": "ext"}, "caBundle": found.bundle}
            await world.client.create(APISERVICES, {"metadata": {"name": f"{version}.{group}"}, "spec": spec})
        for group, version in GROUPS.items():
            await world.until(partial(_available, world, f"{version}.{group}"))
        template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "a", "image": "b:1"}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template}
        await world.client.create(DEPLOYMENTS, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
        await world.rolled_out(2, "b:1")
        yield made


async def _available(world: World, name: str) -> bool:
    found = condition((await world.client.get(APISERVICES, name)).get("status", {}).get("conditions"), "Available")
    return bool(found and found["status"] == "True")


async def scaled(world: World, metrics: list[Any]) -> Object:
    """An autoscaler with these metrics, after its first look."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 10, "metrics": metrics}
    await world.client.create(HPAS, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})

    async def looked() -> Any:
        hpa = await world.client.get(HPAS, "web", "default")
        return hpa if condition((hpa.get("status") or {}).get("conditions"), "ScalingActive") else None

    found: Object = await world.until(looked)
    return found


def pods(value: str) -> Any:
    return {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": value}}}


def external(**target: str) -> Any:
    metric = {"name": "queue", "selector": {"matchLabels": {"a": "b"}}}
    return {"type": "External", "external": {"metric": metric, "target": target}}


def about(kind: str, version: str, name: str, **target: str) -> Any:
    described = {"apiVersion": version, "kind": kind, "name": name}
    return {"type": "Object", "object": {"metric": {"name": "hits"}, "describedObject": described, "target": target}}


@pytest.mark.parametrize(
    ("path", "value", "metric", "replicas", "shown"),
    [
        ("namespaces/default/pods/*/rps", "100", pods("50"), 4, {"averageValue": "100"}),
        ("namespaces/default/queue", "30", external(type="AverageValue", averageValue="10"), 3, {"averageValue": "15"}),
        ("namespaces/default/queue", "3k", external(type="Value", value="2k"), 3, {"value": "3k"}),
        (
            "namespaces/default/services/ext/hits",
            "1500m",
            about("Service", "v1", "ext", type="Value", value="500m"),
            6,
            {"value": "1500m"},
        ),
        (
            "namespaces/default/metrics/hits",
            "9",
            about("Namespace", "v1", "default", type="AverageValue", averageValue="3"),
            3,
            None,
        ),
        (
            "namespaces/default/deployments.apps/web/hits",
            "2",
            about("Deployment", "apps/v1", "web", type="Value", value="2"),
            2,
            {"value": "2"},
        ),
    ],
)
async def test_a_metric_sets_the_count(
    world: World, adapter: Adapter, path: str, value: str, metric: Any, replicas: int, shown: Any
) -> None:
    adapter.values[path] = value
    hpa = await scaled(world, [metric])
    assert hpa["status"]["desiredReplicas"] == replicas, hpa["status"]
    current = hpa["status"]["currentMetrics"][0]
    assert shown is None or next(v for k, v in current.items() if k != "type")["current"] == shown
    active = condition(hpa["status"]["conditions"], "ScalingActive")
    words = f"the HPA was able to successfully calculate a replica count from {metric_words(metric)}"
    assert active and (active["reason"], active["message"]) == ("ValidMetricFound", words)
    assert (await world.deployment())["spec"]["replicas"] == replicas


async def test_selectors_travel(world: World, adapter: Adapter) -> None:
    adapter.values["namespaces/default/queue"] = "20"
    await scaled(world, [external(type="AverageValue", averageValue="10")])
    assert [a for a in adapter.asked if "queue" in a] == [
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue?labelSelector=a%3Db"
    ]


@pytest.mark.parametrize(
    ("metric", "reason", "message"),
    [
        (
            pods("5"),
            "FailedGetPodsMetric",
            "failed to get pods metric value: unable to get metric rps: unable to fetch metrics from custom metrics API: ",
        ),
        (
            about("Service", "v1", "ext", type="Value", value="5"),
            "FailedGetObjectMetric",
            "failed to get object metric value: unable to get metric hits: Service on default ext/unable to fetch metrics from",
        ),
        (
            external(type="Value", value="5"),
            "FailedGetExternalMetric",
            f"failed to get queue external metric value: unable to get external metric default/queue/{SELECTOR}: unable to fetch",
        ),
    ],
)
async def test_a_metric_that_is_not_there(world: World, adapter: Adapter, metric: Any, reason: str, message: str) -> None:
    hpa = await scaled(world, [metric])
    found = condition(hpa["status"]["conditions"], "ScalingActive")
    assert found and (found["status"], found["reason"]) == ("False", reason)
    assert found["message"].startswith(f"the HPA was unable to compute the replica count: {message}")

    async def told() -> bool:
        events = (await world.client.list(EVENTS, "default")).items
        return {reason, "FailedComputeMetricsReplicas"} <= {e["reason"] for e in events}

    await world.until(told)
    assert (await world.deployment())["spec"]["replicas"] == 2


async def test_a_failing_metric_lets_others_scale_up_only(world: World, adapter: Adapter) -> None:
    adapter.values["namespaces/default/queue"] = "90"
    hpa = await scaled(world, [pods("5"), external(type="AverageValue", averageValue="10")])
    assert hpa["status"]["desiredReplicas"] == 6  # at most four more, or twice as many
    limited = condition(hpa["status"]["conditions"], "ScalingLimited")
    assert limited and limited["reason"] == "ScaleUpLimit"
