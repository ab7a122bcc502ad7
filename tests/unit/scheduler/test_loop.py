"""The scheduler against the real API server, in process and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from lateen.aio.clock import VirtualClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.scheduler.loop import Scheduler
from lateen.cluster.storage.memory import MemoryStorage
from lateen.kube.meta import Object, condition
from lateen.kube.resources import EVENTS, NODES, PODS, PRIORITYCLASSES, PVCS, PVS, STORAGECLASSES


class World:
    """A cluster with a scheduler and nothing else, on a virtual clock."""

    def __init__(self, client: Client, clock: VirtualClock) -> None:
        self.client, self.clock = client, clock

    async def node(self, name: str, *, cpu: str = "4", **spec: Any) -> Object:
        made = await self.client.create(
            NODES, {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": spec}
        )
        status = {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}
        return await self.client.update_status(NODES, {**made, "status": status})

    async def pod(self, name: str, *, cpu: str = "1", **spec: Any) -> Object:
        container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}
        return await self.client.create(
            PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container], **spec}}
        )

    async def get(self, name: str) -> Object:
        return await self.client.get(PODS, name, "default")

    async def until(self, wanted: Callable[[Object], Any], name: str, *, seconds: float = 30) -> Object:
        for _ in range(int(seconds * 2)):
            await asyncio.sleep(0)
            if wanted(pod := await self.get(name)):
                return pod
            await self.clock.advance(0.5)
        raise AssertionError(f"never came true; last: {await self.get(name)}")

    async def messages(self, reason: str) -> list[str]:
        return [e["message"] for e in (await self.client.list(EVENTS, "default")).items if e["reason"] == reason]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, storage = VirtualClock(), MemoryStorage()
    async with ApiServer(storage, clock=clock) as server, TaskOwner("test") as owner:
        client = Client(InProcessTransport(server.handler_for(ADMIN)))
        owner.start(Scheduler(client, clock).run(), "scheduler")
        yield World(client, clock)


def node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "")


def refusal(pod: Object) -> str:
    found = condition((pod.get("status") or {}).get("conditions"), "PodScheduled") or {}
    return str(found.get("message", "")) if found.get("reason") == "Unschedulable" else ""


async def test_a_pod_is_bound_and_told_so(world: World) -> None:
    await world.node("n1")
    await world.pod("a")
    pod = await world.until(node_of, "a")
    assert node_of(pod) == "n1"
    assert condition(pod["status"]["conditions"], "PodScheduled")["status"] == "True"  # type: ignore[index]
    await world.clock.advance(0.1)
    assert await world.messages("Scheduled") == ["Successfully assigned default/a to n1"]


async def test_a_pod_that_fits_nowhere_says_why_and_goes_when_there_is_room(world: World) -> None:
    await world.node("n1", cpu="1")
    await world.node("fake", taints=[{"key": "lateen.dev/fake", "effect": "NoSchedule"}])
    await world.pod("first")
    await world.until(node_of, "first")
    await world.pod("second")
    pod = await world.until(refusal, "second")
    expected = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {lateen.dev/fake: }. preemption: "
    assert refusal(pod).startswith(expected)
    await world.clock.advance(20)
    assert len(await world.messages("FailedScheduling")) == 1

    await world.client.delete(PODS, "first", "default", grace_seconds=0)
    assert node_of(await world.until(node_of, "second")) == "n1"


async def test_a_new_node_wakes_waiting_pods(world: World) -> None:
    await world.pod("a")
    assert refusal(await world.until(refusal, "a")) == "no nodes available to schedule pods"
    await world.node("n1")
    assert node_of(await world.until(node_of, "a")) == "n1"


async def test_capacity_is_never_exceeded_by_a_crowd(world: World) -> None:
    for name in ("n1", "n2", "n3"):
        await world.node(name)
    for i in range(15):
        await world.pod(f"p{i}")
    await world.clock.advance(5)
    placed = [node_of(p) for p in (await world.client.list(PODS)).items]
    assert sorted(placed) == [""] * 3 + ["n1"] * 4 + ["n2"] * 4 + ["n3"] * 4


async def test_higher_priority_goes_first(world: World) -> None:
    for name, value in (("low", 1), ("high", 100)):
        await world.client.create(PRIORITYCLASSES, {"metadata": {"name": name}, "value": value})
        await world.pod(name, priorityClassName=name)
    await world.until(refusal, "low")
    await world.until(refusal, "high")
    await world.clock.advance(15)
    await world.node("n1", cpu="1")
    await world.clock.advance(15)
    assert (node_of(await world.get("high")), node_of(await world.get("low"))) == ("n1", "")


async def test_other_schedulers_and_gated_pods_are_left_alone(world: World) -> None:
    await world.node("n1")
    await world.pod("theirs", schedulerName="volcano")
    await world.pod("gated", schedulingGates=[{"name": "wait"}])
    await world.pod("mine")
    await world.until(node_of, "mine")
    await world.clock.advance(5)
    assert [node_of(await world.get(n)) for n in ("theirs", "gated")] == ["", ""]
    gated = await world.get("gated")
    await world.client.update(PODS, {**gated, "spec": {k: v for k, v in gated["spec"].items() if k != "schedulingGates"}})
    await world.until(node_of, "gated")


async def test_claims_are_provisioned_where_the_pod_goes(world: World) -> None:
    client = world.client
    await world.node("n1")
    await client.create(
        STORAGECLASSES, {"metadata": {"name": "local"}, "provisioner": "x", "volumeBindingMode": "WaitForFirstConsumer"}
    )
    spec = {"storageClassName": "local", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await client.create(PVCS, {"metadata": {"name": "data", "namespace": "default"}, "spec": spec})
    await world.pod("a", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    await world.clock.advance(3)
    claim = await client.get(PVCS, "data", "default")
    assert claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "n1"
    assert node_of(await world.get("a")) == ""

    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
    await client.create(PVS, {"metadata": {"name": "pv"}, "spec": volume})
    claim = await client.update(PVCS, {**claim, "spec": {**claim["spec"], "volumeName": "pv"}})
    await client.update_status(PVCS, {**claim, "status": {"phase": "Bound"}})
    assert node_of(await world.until(node_of, "a")) == "n1"


async def test_claims_get_volumes_that_exist_where_the_pod_goes(world: World) -> None:
    client = world.client
    for name in ("n1", "n2"):
        await world.node(name)
    static = {"metadata": {"name": "disks"}, "provisioner": "kubernetes.io/no-provisioner"}
    await client.create(STORAGECLASSES, static | {"volumeBindingMode": "WaitForFirstConsumer"})
    spec = {"storageClassName": "disks", "accessModes": ["ReadWriteOnce"]}
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}
    place = {"local": {"path": "/disk"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}
    disk = await client.create(PVS, {"metadata": {"name": "disk"}, "spec": {**spec, "capacity": {"storage": "2Gi"}, **place}})
    await client.update_status(PVS, {**disk, "status": {"phase": "Available"}})
    wish = spec | {"resources": {"requests": {"storage": "1Gi"}}}
    for name in ("a", "b"):
        await client.create(PVCS, {"metadata": {"name": name, "namespace": "default"}, "spec": wish})
        await world.pod(name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": name}}])
    await world.clock.advance(3)
    given = (await client.get(PVS, "disk"))["spec"]["claimRef"]
    claim = await client.get(PVCS, given["name"], "default")
    assert given["uid"] == claim["metadata"]["uid"]
    assert "annotations" not in claim["metadata"]
    claim = await client.update(PVCS, {**claim, "spec": {**claim["spec"], "volumeName": "disk"}})
    await client.update_status(PVCS, {**claim, "status": {"phase": "Bound"}})
    assert node_of(await world.until(node_of, given["name"])) == "n2"
    other = await world.get("b" if given["name"] == "a" else "a")
    assert "didn't find available persistent volumes to bind" in other["status"]["conditions"][0]["message"]


async def test_a_binding_that_fails_is_taken_back(world: World) -> None:
    """The pod was bound by hand between the decision and the binding: the node it was meant for keeps its room."""
    await world.node("n1", cpu="1")
    transport = world.client.transport
    real = transport.send
    refused = 0

    async def send(request: Any) -> Any:
        nonlocal refused
        if request.path.endswith("/binding") and not refused:
            refused += 1
            from lateen.errors import TransportError

            raise TransportError("the line broke")
        return await real(request)

    transport.send = send  # type: ignore[method-assign]
    await world.pod("a")
    assert node_of(await world.until(node_of, "a")) == "n1"
    assert refused == 1


async def test_an_important_pod_takes_the_place_of_another(world: World) -> None:
    await world.node("n1", cpu="1")
    important = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
    await world.client.raw("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body=important)
    await world.pod("low")
    await world.until(node_of, "low")
    await world.pod("high", priorityClassName="high")
    leaving = await world.until(lambda p: p["metadata"].get("deletionTimestamp"), "low")
    target = condition(leaving["status"]["conditions"], "DisruptionTarget") or {}
    assert target["reason"] == "PreemptionByScheduler"
    waiting = await world.until(lambda p: (p.get("status") or {}).get("nominatedNodeName"), "high")
    assert waiting["status"]["nominatedNodeName"] == "n1"
    await world.pod("rival")  # it may not slip in where room is being made
    await world.clock.advance(5)
    assert [node_of(await world.get(n)) for n in ("high", "rival")] == ["", ""]
    await world.client.delete(PODS, "low", "default", grace_seconds=0)
    await world.until(node_of, "high")
    assert node_of(await world.get("rival")) == ""
    assert await world.messages("Preempted") == [f"Preempted by pod {waiting['metadata']['uid']} on node n1"]


async def test_a_pod_that_never_preempts_waits(world: World) -> None:
    await world.node("n1", cpu="1")
    polite = {"metadata": {"name": "polite"}, "value": 1000, "preemptionPolicy": "Never"}
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", **polite}
    await world.client.raw("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body=body)
    await world.pod("low")
    await world.until(node_of, "low")
    await world.pod("high", priorityClassName="polite")
    pod = await world.until(refusal, "high")
    assert refusal(pod) == "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
    assert "deletionTimestamp" not in (await world.get("low"))["metadata"]
