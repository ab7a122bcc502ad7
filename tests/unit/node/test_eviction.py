"""Pods that must go because the node has too little left, or because they keep too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pod_world import World, check_of, ready

from lateen.cluster.node import eviction_plan as plan
from lateen.cluster.node.eviction_plan import DISK, MEMORY, Signal, Threshold, Use
from lateen.cluster.node.seam import Used
from lateen.errors import InputError
from lateen.kube.meta import Object, condition
from lateen.kube.resources import EVENTS, NODES

MI = 2**20
PLENTY = {MEMORY: Signal(900 * MI, 1000 * MI), DISK: Signal(90 * MI, 100 * MI)}


def pod(name: str, request: str = "", priority: int = 0, **spec: Any) -> Object:
    resources = {"requests": {"memory": request}} if request else {}
    containers = [{"name": "app", "resources": resources}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, "priority": priority, **spec}}


def test_thresholds() -> None:
    found = plan.thresholds("memory.available<100Mi, nodefs.available<10%")
    assert found == [Threshold(MEMORY, "100Mi"), Threshold(DISK, "10%")]
    assert plan.thresholds("") == []
    assert plan.thresholds(plan.DEFAULT)
    assert [int(t.least(500)) for t in found] == [100 * MI, 50]
    for wrong in ("memory.available", "memory<1Mi", "nodefs.available<many", "nodefs.available<x%"):
        with pytest.raises(InputError, match="is no eviction threshold"):
            plan.thresholds(wrong)


def test_what_is_crossed() -> None:
    wanted = plan.thresholds("nodefs.available<10%,memory.available<100Mi,nodefs.inodesFree<5%")
    low = {MEMORY: Signal(99 * MI, 1000 * MI), DISK: Signal(9, 100), plan.INODES: Signal(0, 0)}
    assert [t.signal for t in plan.met(wanted, low)] == [MEMORY, DISK]
    assert plan.met(wanted, PLENTY) == []


def test_who_goes_first() -> None:
    uses = [
        Use(pod=pod("modest", "100Mi"), memory={"app": 50 * MI}),
        Use(pod=pod("important", priority=10), memory={"app": 500 * MI}),
        Use(pod=pod("greedy", "10Mi"), memory={"app": 300 * MI}),
        Use(pod=pod("small"), memory={"app": 30 * MI}),
        Use(pod=pod("system", priority=2_000_000_000), memory={"app": 900 * MI}),
    ]
    assert [u.pod["metadata"]["name"] for u in plan.ranked(MEMORY, uses)] == ["greedy", "small", "important", "modest"]


def test_messages() -> None:
    use = Use(pod=pod("p", "10Mi"), memory={"app": 20 * MI})
    assert plan.pressure_message(Threshold(MEMORY, "100Mi"), Signal(90 * MI, 1000 * MI), use) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 92160Ki. "
        "Container app was using 20480Ki, request is 10Mi, has larger consumption of memory. "
    )


STORED = {"limits": {"ephemeral-storage": "2Mi"}}


@pytest.mark.parametrize(
    ("spec", "volumes", "containers", "message"),
    [
        ({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]}, {"v": MI}, {}, ""),
        (
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]},
            {"v": MI + 1},
            {},
            'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
        ),
        (
            {"containers": [{"name": "a", "resources": STORED}], "volumes": [{"name": "v", "emptyDir": {}}]},
            {"v": 2 * MI},
            {"a": 1},
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
        ),
        (
            {"containers": [{"name": "a", "resources": STORED}, {"name": "b"}]},
            {},
            {"a": 3 * MI, "b": 1},
            'Container a exceeded its local ephemeral storage limit "2Mi". ',
        ),
        ({"containers": [{"name": "a", "resources": STORED}, {"name": "b"}]}, {}, {"a": MI, "b": 9 * MI}, ""),
    ],
)
def test_local_storage(spec: Object, volumes: Mapping[str, int], containers: Mapping[str, int], message: str) -> None:
    assert plan.excess_message({"spec": {"containers": [], **spec}}, volumes, containers) == message


def test_who_is_taken_under_pressure() -> None:
    burstable = {**pod("p"), "status": {"qosClass": "Burstable"}}
    tolerant = pod("p", tolerations=[{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}])
    assert plan.refusal(pod("p"), []) == ""
    assert plan.refusal(pod("p"), ["MemoryPressure"]) == "The node had condition: [MemoryPressure]. "
    assert plan.refusal(burstable, ["MemoryPressure"]) == plan.refusal(tolerant, ["MemoryPressure"]) == ""
    assert plan.refusal(burstable, ["DiskPressure"]) == "The node had condition: [DiskPressure]. "
    assert plan.refusal(pod("p", priority=2_000_000_000), ["DiskPressure"]) == ""


async def test_a_node_without_memory_puts_out_its_greediest_pod_and_takes_no_more(world: World) -> None:
    signals = dict(PLENTY)
    world.agent.evictor.read = lambda: signals

    async def usage() -> Mapping[str, Used]:
        return {
            i: Used(cpu_seconds=0, memory=(300 if s.image == "big" else 10) * MI, rss=0, processes=1)
            for i, s in world.runtime.specs.items()
        }

    world.runtime.usage = usage  # type: ignore[method-assign]
    await world.pod("small")
    await world.pod("big", container={"image": "big"})
    for name in ("small", "big"):
        await world.until(ready, name)
    signals[MEMORY] = Signal(50 * MI, 1000 * MI)
    found = await world.until(lambda p: p["status"]["phase"] == "Failed", "big", seconds=15)
    assert found["status"]["reason"] == "Evicted"
    assert found["status"]["message"].startswith("The node was low on resource: memory. Threshold quantity: 100Mi")
    assert check_of(found, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    signals[MEMORY] = PLENTY[MEMORY]
    assert ready(await world.get("small"))
    pressure = condition((await world.client.get(NODES, "n1"))["status"]["conditions"], "MemoryPressure") or {}
    assert (pressure["status"], pressure["reason"]) == ("True", "KubeletHasInsufficientMemory")
    await world.pod("late")
    found = await world.until(lambda p: p["status"]["phase"] == "Failed", "late")
    assert found["status"]["message"] == "The node had condition: [MemoryPressure]. "
    await world.step(330)
    for _ in range(20):
        await world.step(2)
    pressure = condition((await world.client.get(NODES, "n1"))["status"]["conditions"], "MemoryPressure") or {}
    assert pressure["status"] == "False"
    events = [e["message"] for e in (await world.client.list(EVENTS, "default")).items if e["reason"] == "EvictionThresholdMet"]
    assert events == ["Attempting to reclaim memory"]


async def test_an_empty_dir_beyond_its_limit(world: World) -> None:
    world.agent.evictor.read = lambda: PLENTY
    volume = {"name": "v", "emptyDir": {"sizeLimit": "64Ki"}}
    await world.pod(volumes=[volume], container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    await world.until(ready)
    folder = next(m.source for s in world.runtime.specs.values() for m in s.mounts if m.target == "/v")
    (folder / "file").write_bytes(b"x" * 100_000)
    found = await world.until(lambda p: p["status"]["phase"] == "Failed", seconds=15)
    assert found["status"]["message"] == 'Usage of EmptyDir volume "v" exceeds the limit "64Ki". '
    assert await world.events("Evicted") == [found["status"]["message"]]
    await world.step(0.5)
    assert not folder.exists()
