"""Pod workers: their order, what they write, how they end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pod_world import World, check_of, container, ready

from lateen.cluster.node import probe as probing
from lateen.cluster.node.runtimes.fake import HollowNodes
from lateen.cluster.node.status import TRAFFIC_READY
from lateen.kube.meta import condition_true
from lateen.kube.resources import NODES, PODS


async def test_ready_comes_only_after_the_gate_and_the_gate_after_containers_ready(world: World) -> None:
    world.gate.open.clear()
    await world.pod()
    pod = await world.until(lambda p: check_of(p, TRAFFIC_READY).get("reason") == "Nacked")
    assert world.story == ["start app", "admit p ContainersReady=True"]
    assert condition_true(pod, "ContainersReady")
    assert check_of(pod, "Ready")["status"] == "False"
    assert "the proxy said no" in check_of(pod, "Ready")["message"]
    world.gate.open.set()
    pod = await world.until(ready)
    assert condition_true(pod, TRAFFIC_READY)


async def test_the_end_goes_withdraw_pre_stop_sigterm_delete(world: World) -> None:
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}}
    await world.pod(container=hook, terminationGracePeriodSeconds=20)
    await world.until(ready)
    world.gate.drained.clear()
    world.story.clear()
    await world.client.delete(PODS, "p", "default")
    await world.step(5)
    assert world.story == ["withdraw p"]
    world.gate.drained.set()
    await world.until_gone()
    assert world.story == ["withdraw p", "exec bye", "TERM app"]
    assert not world.runtime.known
    assert await world.events("Killing") == ["Stopping container app"]


async def test_proxies_that_never_answer_do_not_hold_a_pod_beyond_its_grace(world: World) -> None:
    await world.pod(terminationGracePeriodSeconds=10)
    await world.until(ready)
    world.gate.drained.clear()
    world.runtime.deaf.add("app")
    start = world.clock.monotonic()
    await world.client.delete(PODS, "p", "default")
    await world.until_gone()
    assert world.story[-3:] == ["withdraw p", "TERM app", "KILL app"]
    assert 10 <= world.clock.monotonic() - start < 11


async def test_a_shortened_grace_period_is_kept(world: World) -> None:
    world.runtime.deaf.add("app")
    await world.pod(terminationGracePeriodSeconds=300)
    await world.until(ready)
    await world.client.delete(PODS, "p", "default")
    await world.step(5)
    start = world.clock.monotonic()
    await world.client.delete(PODS, "p", "default", grace_seconds=1)
    await world.until_gone()
    assert world.clock.monotonic() - start < 3


async def test_init_containers_and_sidecars_in_order(world: World) -> None:
    inits = [
        {"name": "side", "image": "x", "command": ["x"], "restartPolicy": "Always"},
        {"name": "init", "image": "x", "command": ["x"]},
    ]
    await world.pod(initContainers=inits)
    pod = await world.until(lambda p: world.story == ["start side", "start init"])
    pod = await world.until(lambda p: container(p)["state"].get("waiting"))
    assert container(pod)["state"]["waiting"]["reason"] == "PodInitializing"
    assert pod["status"]["phase"] == "Pending"
    assert check_of(pod, "Initialized")["status"] == "False"
    world.runtime.finish("init", 0)
    pod = await world.until(ready)
    assert [s["ready"] for s in pod["status"]["initContainerStatuses"]] == [True, True]
    world.story.clear()
    await world.client.delete(PODS, "p", "default")
    await world.until_gone()
    assert world.story == ["withdraw p", "TERM app", "TERM side"]


async def test_crash_back_off_as_the_kubelet_words_it(world: World) -> None:
    await world.pod()
    await world.until(ready)
    world.runtime.finish("app", 1)
    await world.until(lambda p: container(p)["restartCount"] == 1 and ready(p))
    world.runtime.finish("app", 2)
    pod = await world.until(lambda p: "waiting" in container(p)["state"])
    waiting = container(pod)["state"]["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"].startswith("back-off 10s restarting failed container=app pod=p_default(")
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 2
    assert check_of(pod, "ContainersReady")["message"] == "containers with unready status: [app]"
    await world.step(8)
    assert container(await world.get())["restartCount"] == 1
    await world.until(lambda p: container(p)["restartCount"] == 2 and ready(p), seconds=4)


async def test_a_pod_that_completes_stays_completed(world: World) -> None:
    await world.pod(restartPolicy="Never")
    await world.until(ready)
    world.runtime.finish("app", 0)
    pod = await world.until(lambda p: p["status"]["phase"] == "Succeeded")
    assert check_of(pod, "Ready")["reason"] == "PodCompleted"
    assert container(pod)["state"]["terminated"]["reason"] == "Completed"
    await world.step(100)
    assert world.story.count("start app") == 1


async def test_active_deadline(world: World) -> None:
    await world.pod(restartPolicy="Never", activeDeadlineSeconds=5)
    await world.until(ready)
    pod = await world.until(lambda p: p["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert "TERM app" in world.story


async def test_liveness_kills_and_restarts_readiness_only_hides(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"/live": True, "/ready": True}

    async def check(handler: Mapping[str, Any], *_: Any) -> probing.Result:
        return probing.Result(answers[handler["httpGet"]["path"]], "no")

    monkeypatch.setattr(probing, "check", check)
    probes = {
        "livenessProbe": {"httpGet": {"path": "/live", "port": 1}, "periodSeconds": 1, "failureThreshold": 3},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 1}, "periodSeconds": 1, "failureThreshold": 2},
    }
    await world.pod(container=probes)
    await world.until(ready)
    answers["/ready"] = False
    await world.until(lambda p: not ready(p))
    assert world.story.count("start app") == 1
    answers["/ready"] = True
    await world.until(ready)
    answers["/live"] = False
    await world.until(lambda p: container(p)["restartCount"] == 1)
    answers["/live"] = True
    await world.until(ready)
    assert "Container app failed liveness probe, will be restarted" in await world.events("Killing")
    assert "Liveness probe failed: no" in await world.events("Unhealthy")
    assert [s for s in world.story if s.startswith("admit")] == ["admit p ContainersReady=True"] * 3


async def test_a_slow_start_is_no_failure_and_a_startup_probe_holds_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    up = world.clock.monotonic() + 0.3

    async def check(handler: Mapping[str, Any], *_: Any) -> probing.Result:
        asked.append(handler["httpGet"]["path"])
        return probing.Result(world.clock.monotonic() >= up, "connection refused")

    monkeypatch.setattr(probing, "check", check)
    probes = {
        "startupProbe": {"httpGet": {"path": "/start", "port": 1}, "periodSeconds": 10},
        "livenessProbe": {"httpGet": {"path": "/live", "port": 1}, "periodSeconds": 10},
    }
    await world.pod(container=probes)
    await world.until(ready, seconds=1.5, step=0.02)
    assert "/live" not in asked[: asked.index("/start") + 3]
    assert await world.events("Unhealthy") == []


async def test_a_readiness_gate_of_somebody_else(world: World) -> None:
    await world.pod(readinessGates=[{"conditionType": "example.com/ok"}])
    pod = await world.until(lambda p: check_of(p, "Ready").get("reason") == "ReadinessGatesNotReady")
    assert 'readiness gate "example.com/ok" does not exist' in check_of(pod, "Ready")["message"]
    conditions = [*pod["status"]["conditions"], {"type": "example.com/ok", "status": "True"}]
    await world.client.patch(PODS, "p", {"status": {"conditions": conditions}}, namespace="default", subresource="status")
    pod = await world.until(ready)
    assert condition_true(pod, "example.com/ok")


async def test_few_writes_from_binding_to_ready(world: World) -> None:
    await world.pod()
    before = int((await world.get())["metadata"]["resourceVersion"])
    watch = world.client.watch(PODS, resource_version=str(before))
    await world.until(ready, step=0.01)
    seen = [(await anext(watch)).object for _ in range(2)]
    assert ready(seen[-1])
    await watch.aclose()  # type: ignore[attr-defined]


async def test_the_node_says_what_it_is_and_renews_its_lease(world: World) -> None:
    node = await world.client.get(NODES, "n1")
    assert condition_true(node, "Ready")
    assert node["status"]["allocatable"].keys() >= {"cpu", "memory", "pods"}
    assert node["metadata"]["labels"]["lateen.dev/runtime"] == "scripted"
    from lateen.kube.resources import LEASES

    first = (await world.client.get(LEASES, "n1", "kube-node-lease"))["spec"]["renewTime"]
    await world.step(10.5)
    assert (await world.client.get(LEASES, "n1", "kube-node-lease"))["spec"]["renewTime"] > first


async def test_hollow_pods_are_ready_with_one_write_and_gone_with_one(world: World) -> None:
    hollow = HollowNodes(["f1", "f2"], client=world.client, informers=world.informers, clock=world.clock)
    world.owner.start(hollow.run(), "hollow")
    while not hollow.ready.is_set():
        await world.step(0.01)
    assert (await world.client.get(NODES, "f1"))["spec"]["taints"] == [{"key": "lateen.dev/fake", "effect": "NoSchedule"}]
    for i in range(20):
        await world.pod(f"h{i}", nodeName="f1")
    await world.step(0.1)
    pods = [await world.until(ready, f"h{i}") for i in range(20)]
    assert len({p["status"]["podIP"] for p in pods}) == 20
    for i in range(20):
        await world.client.delete(PODS, f"h{i}", "default")
    for i in range(20):
        await world.until_gone(f"h{i}")
