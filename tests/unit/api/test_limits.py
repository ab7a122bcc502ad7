"""LimitRange: defaults for containers, and what is refused, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.client.client import Client
from lateen.cluster.api.admission.limits import claim_faults, faults, fill
from lateen.errors import ForbiddenError
from lateen.kube.meta import Object
from lateen.kube.resources import NAMESPACES, PODS, Resource

LIMITRANGES = Resource(group="", version="v1", kind="LimitRange", plural="limitranges", namespaced=True)


def limits(kind: str = "Container", **amounts: Any) -> Object:
    return {"metadata": {"name": "l", "namespace": "default"}, "spec": {"limits": [{"type": kind, **amounts}]}}


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), namespace: str = "default") -> Object:
    named = [{"name": f"c{i}", "image": "i", "resources": r} for i, r in enumerate(containers)]
    more = {"initContainers": [{"name": f"i{i}", "image": "i", "resources": r} for i, r in enumerate(init)]} if init else {}
    return {"metadata": {"name": "p", "namespace": namespace}, "spec": {"containers": named, **more}}


def test_containers_get_what_they_do_not_say() -> None:
    ranges = [limits(default={"cpu": "1", "memory": "1Gi"}, defaultRequest={"cpu": "500m"})]
    obj = pod({"requests": {"cpu": "100m"}}, init=({},))
    fill(obj, ranges)
    first, second = obj["spec"]["containers"][0]["resources"], obj["spec"]["initContainers"][0]["resources"]
    assert first == {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    assert second == {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    assert obj["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": (
            "LimitRanger plugin set: cpu, memory limit for container c0; cpu request for init container i0; "
            "cpu, memory limit for init container i0"
        )
    }
    whole = pod({"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "1"}})
    fill(whole, ranges)
    assert "annotations" not in whole["metadata"]


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        (limits(min={"cpu": "100m"}), {"requests": {"cpu": "0.1"}}, []),
        (limits(min={"cpu": "100m"}), {}, ["minimum cpu usage per Container is 100m.  No request is specified"]),
        (
            limits(min={"cpu": "100m"}),
            {"requests": {"cpu": "50m"}},
            ["minimum cpu usage per Container is 100m, but request is 50m"],
        ),
        (limits(max={"memory": "1Gi"}), {"limits": {"memory": "1024Mi"}}, []),
        (limits(max={"memory": "1Gi"}), {}, ["maximum memory usage per Container is 1Gi.  No limit is specified"]),
        (
            limits(max={"memory": "1Gi"}),
            {"limits": {"memory": "2Gi"}},
            ["maximum memory usage per Container is 1Gi, but limit is 2Gi"],
        ),
        (
            limits(maxLimitRequestRatio={"cpu": "2"}),
            {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
            ["cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"],
        ),
        (
            limits(maxLimitRequestRatio={"cpu": "2"}),
            {"limits": {"cpu": "3"}},
            ["cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"],
        ),
    ],
)
def test_a_container_keeps_to_its_limits(given: Object, asked: dict[str, Any], expected: list[str]) -> None:
    assert list(faults(pod(asked), given)) == expected


def test_a_pod_is_the_sum_of_its_containers_or_its_largest_init_container() -> None:
    half = {"limits": {"cpu": "1500m", "memory": "512Mi"}}
    assert list(faults(pod(half, half), limits("Pod", max={"cpu": "3", "memory": "1Gi"}))) == []
    assert list(faults(pod(half, half), limits("Pod", max={"cpu": "2"}))) == ["maximum cpu usage per Pod is 2, but limit is 3"]
    large = {"limits": {"memory": "4Gi"}}
    assert list(faults(pod(half, init=(large,)), limits("Pod", max={"memory": "1Gi"}))) == [
        "maximum memory usage per Pod is 1Gi, but limit is 4Gi"
    ]


def test_claims_have_a_range_too() -> None:
    given = limits("PersistentVolumeClaim", min={"storage": "1Gi"}, max={"storage": "2Gi"})
    claim = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    assert list(claim_faults(claim, given)) == ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]
    claim["spec"]["resources"]["requests"]["storage"] = "500Mi"
    assert list(claim_faults(claim, given)) == ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"]


async def test_through_the_server(client: Client) -> None:
    await client.create(LIMITRANGES, limits(max={"cpu": "1", "memory": "1Gi"}, min={"cpu": "100m"}))
    made = await client.create(PODS, pod({}))
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }
    with pytest.raises(ForbiddenError) as refused:
        await client.create(
            PODS, {**pod({"requests": {"cpu": "50m"}, "limits": {"cpu": "2"}}), "metadata": {"name": "q", "namespace": "default"}}
        )
    assert refused.value.message == (
        'pods "q" is forbidden: [minimum cpu usage per Container is 100m, but request is 50m, '
        "maximum cpu usage per Container is 1, but limit is 2]"
    )
    await client.create(NAMESPACES, {"metadata": {"name": "other"}})
    assert (await client.create(PODS, pod({}, namespace="other")))["spec"]["containers"][0]["resources"] == {}
