"""In-place resize: what the API takes, what the node has, what containers get."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from pod_world import World, check_of, container, ready

from lateen.cluster.node.resize import must_restart, verdict
from lateen.errors import FailedError, InvalidError
from lateen.kube.meta import Object, edit
from lateen.kube.resources import PODS

Kind = dict[str, str]


def asking(cpu: str, memory: str = "64Mi", **more: Any) -> Object:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


async def resize(world: World, cpu: str, memory: str = "64Mi") -> Object:
    patch = {"spec": {"containers": [{"name": "app", **asking(cpu, memory)}]}}
    return await world.client.patch(PODS, "p", patch, namespace="default", subresource="resize", kind="strategic")


def test_what_a_node_has() -> None:
    def asked(cpu: str, others: str = "0") -> tuple[str, str] | None:
        found = verdict(
            {"cpu": Fraction(cpu), "memory": Fraction(1)},
            {"cpu": Fraction(others), "memory": Fraction(0)},
            {"cpu": "2", "memory": "9"},
        )
        return (found.reason, found.message) if found else None

    assert asked("2") is None
    assert asked("3") == ("Infeasible", "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000")
    assert asked("1", "1.5") == ("Deferred", "Node didn't have enough resource: cpu")


def test_whose_policy_wants_a_restart() -> None:
    spec = {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
    old, cpu = {"requests": {"cpu": "1", "memory": "1Mi"}}, {"requests": {"cpu": "2", "memory": "1Mi"}}
    memory = {"requests": {"cpu": "1", "memory": "2Mi"}}
    assert not must_restart(spec, old, cpu)
    assert must_restart(spec, old, memory)
    assert not must_restart({}, old, memory)


async def test_a_running_container_gets_more(world: World) -> None:
    await world.pod(container=asking("100m"))
    pod = await world.until(ready)
    assert pod["spec"]["containers"][0]["resizePolicy"] == [
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": "NotRequired"},
    ]
    assert container(pod)["allocatedResources"] == {"cpu": "100m", "memory": "64Mi"}
    await resize(world, "200m")
    pod = await world.until(lambda p: container(p)["resources"]["requests"]["cpu"] == "200m")
    assert world.story[-1] == "resize app 200m"
    assert container(pod)["restartCount"] == 0
    assert pod["status"]["observedGeneration"] == pod["metadata"]["generation"] == 2
    assert "Pod resize completed" in (await world.events("ResizeCompleted"))[0]


async def test_a_restart_where_the_policy_wants_one(world: World) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    await world.pod(container=asking("100m", resizePolicy=policy), restartPolicy="Never")
    await world.until(ready)
    await resize(world, "200m")
    pod = await world.until(lambda p: container(p)["restartCount"] == 1 and ready(p))
    assert world.story.count("start app") == 2 and "resize app 200m" not in world.story
    assert container(pod)["allocatedResources"]["cpu"] == "200m"
    assert "Container app resize requires restart" in await world.events("Killing")


async def test_what_the_node_does_not_have(world: World) -> None:
    await world.pod(container=asking("100m"))
    await world.until(ready)
    await resize(world, "10000")
    pod = await world.until(lambda p: check_of(p, "PodResizePending"))
    assert check_of(pod, "PodResizePending")["reason"] == "Infeasible"
    assert container(pod)["allocatedResources"]["cpu"] == "100m"
    await resize(world, "100m")
    await world.until(lambda p: not check_of(p, "PodResizePending"))


async def test_it_waits_for_another_pod(world: World) -> None:
    most = int(world.agent.context.allocatable["cpu"])
    await world.pod("other", container=asking(str(most - 1)))
    await world.pod(container=asking("100m"))
    for name in ("other", "p"):
        await world.until(ready, name)
    await resize(world, "1100m")
    pod = await world.until(lambda p: check_of(p, "PodResizePending"))
    assert check_of(pod, "PodResizePending")["reason"] == "Deferred"
    await world.client.delete(PODS, "other", "default")
    await world.until_gone("other")
    await world.until(lambda p: container(p)["allocatedResources"]["cpu"] == "1100m")


async def test_a_runtime_that_cannot(world: World) -> None:
    await world.pod(container=asking("100m"))
    await world.until(ready)
    world.runtime.unable = FailedError("the oci runtime could")
    await resize(world, "200m")
    pod = await world.until(lambda p: check_of(p, "PodResizePending"))
    assert check_of(pod, "PodResizePending")["message"] == "the oci runtime could"
    assert await world.events("ResizeInfeasible") == ["Pod resize Infeasible: the oci runtime could"]


async def test_a_kernel_that_refuses_is_asked_again(world: World) -> None:
    await world.pod(container=asking("100m"))
    await world.until(ready)
    world.runtime.unable = OSError(16, "Device or resource busy")
    await resize(world, "200m")
    pod = await world.until(lambda p: check_of(p, "PodResizeInProgress"))
    assert check_of(pod, "PodResizeInProgress")["message"] == "container app: Device or resource busy"
    world.runtime.unable = None
    await world.until(lambda p: not check_of(p, "PodResizeInProgress"), seconds=15)


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "64Mi"}}, "Pod QOS Class may not change"),
        ({"requests": {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "1Gi"}}, "only cpu and memory resources are mutable"),
        ({"requests": {"memory": "64Mi"}}, "resource requests cannot be removed"),
        ({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}, "must be less than or equal to cpu limit of 1"),
    ],
)
async def test_what_the_api_refuses(world: World, resources: Object, why: str) -> None:
    await world.pod(container=asking("100m"))
    pod = edit(await world.get())
    pod["spec"]["containers"][0]["resources"] = resources
    with pytest.raises(InvalidError, match=why):
        await world.client.update(PODS, pod, subresource="resize")


async def test_another_image_is_another_attempt(world: World) -> None:
    await world.pod(restartPolicy="Never")
    await world.until(ready)
    patch = {"spec": {"containers": [{"name": "app", "image": "y"}]}}
    await world.client.patch(PODS, "p", patch, namespace="default", kind="strategic")
    pod = await world.until(lambda p: container(p)["restartCount"] == 1 and ready(p))
    assert container(pod)["image"] == "y"
    assert "Container app definition changed, will be restarted" in await world.events("Killing")
