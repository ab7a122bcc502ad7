"""Pod workers against the API server in memory, with a runtime that does as it is told, on a virtual clock."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lateen.aio.clock import VirtualClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.node import probe as probing
from lateen.cluster.node.agent import NodeAgent, NodeSettings
from lateen.cluster.node.images import HostImages
from lateen.cluster.node.networks.loopback import LoopbackNetwork
from lateen.cluster.node.runtimes.fake import HollowNodes
from lateen.cluster.node.seam import Blocked, CommandEnd, ContainerSpec, ContainerState, Stdio, Used
from lateen.cluster.node.status import TRAFFIC_READY
from lateen.cluster.storage.memory import MemoryStorage
from lateen.errors import NotFoundError
from lateen.kube.addresses import pod_network
from lateen.kube.meta import Object, condition, condition_true
from lateen.kube.resources import EVENTS, NODES, PODS


class ScriptedRuntime:
    """Containers run until ``finish``; SIGTERM ends them unless they are ``deaf``."""

    name = "scripted"

    def __init__(self, clock: VirtualClock, story: list[str]) -> None:
        self.clock, self.story, self.deaf = clock, story, set[str]()
        self.known: dict[str, ContainerState] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self.exec_code = 0

    def _now(self) -> str:
        return self.clock.now().isoformat().replace("+00:00", "Z")

    def refuses(self, pod: Object) -> str:
        return ""

    def lacks(self, pod: Object) -> str:
        return ""

    async def drop_pod(self, pod_uid: str) -> None:
        assert not any(i.startswith(pod_uid) for i in self.known), "a container was not removed"

    async def start(self, spec: ContainerSpec) -> ContainerState:
        self.story.append(f"start {spec.name}")
        self.specs[spec.id] = spec
        self.known[spec.id] = ContainerState(id=spec.id, pid=1, started_at=self._now())
        self._ends[spec.id] = asyncio.Event()
        return self.known[spec.id]

    async def states(self) -> Mapping[str, ContainerState]:
        return dict(self.known)

    async def wait(self, container_id: str) -> ContainerState:
        await self._ends[container_id].wait()
        return self.known[container_id]

    async def signal(self, container_id: str, signal: int) -> None:
        name = container_id.split("_")[1]
        self.story.append(f"{_SIGNALS[signal]} {name}")
        if signal == _KILL or name not in self.deaf:
            self.end(container_id, 128 + signal if signal == _KILL else 0)

    def end(self, container_id: str, code: int) -> None:
        state = self.known[container_id]
        if state.exit_code is None:
            self.known[container_id] = replace(state, exit_code=code, finished_at=self._now())
            self._ends[container_id].set()

    def finish(self, name: str, code: int) -> None:
        running = [i for i, s in self.known.items() if i.split("_")[1] == name and s.exit_code is None]
        self.end(running[0], code)

    async def exec(self, container_id: str, argv: Sequence[str], *, seconds: float) -> tuple[int, bytes]:
        self.story.append(f"exec {' '.join(argv)}")
        return self.exec_code, b"said"

    async def stream(self, container_id: str, argv: Sequence[str], stdio: Stdio) -> CommandEnd:
        raise NotImplementedError

    async def usage(self) -> Mapping[str, Used]:
        raise NotImplementedError

    async def input(self, container_id: str) -> int:
        raise NotImplementedError

    async def end_input(self, container_id: str) -> None:
        raise NotImplementedError

    async def remove(self, container_id: str) -> None:
        self.known.pop(container_id, None)


_KILL = signal.SIGKILL
_SIGNALS: dict[int, str] = {signal.SIGTERM: "TERM", signal.SIGKILL: "KILL"}


class ScriptedGate:
    """Admits when told to; says what happens."""

    def __init__(self, story: list[str]) -> None:
        self.story, self.open, self.drained = story, asyncio.Event(), asyncio.Event()
        self.open.set()
        self.drained.set()

    async def admit(self, pod: Object, blocked: Blocked) -> None:
        ready = condition_true(pod, "ContainersReady")
        self.story.append(f"admit {pod['metadata']['name']} ContainersReady={ready}")
        if not self.open.is_set():
            blocked("Nacked", "the proxy said no")
        await self.open.wait()

    async def withdraw(self, pod: Object) -> None:
        self.story.append(f"withdraw {pod['metadata']['name']}")
        await self.drained.wait()


class World:
    def __init__(self, client: Client, clock: VirtualClock, folder: Path, owner: TaskOwner) -> None:
        self.client, self.clock, self.owner = client, clock, owner
        self.story: list[str] = []
        self.runtime, self.gate = ScriptedRuntime(clock, self.story), ScriptedGate(self.story)
        self.informers = InformerSet(client, clock)
        self.informers.start(owner)
        self.agent = NodeAgent(
            NodeSettings(name="n1", folder=folder / "n1"),
            client=client,
            informers=self.informers,
            clock=clock,
            runtime=self.runtime,
            images=HostImages(),
            network=LoopbackNetwork(folder / "addresses", pod_network(0)),
            gate=self.gate,
        )

    async def pod(self, name: str = "p", *, container: Object | None = None, **spec: Any) -> None:
        main = {"name": "app", "image": "x", "command": ["run"], **(container or {})}
        body = {"nodeName": "n1", "containers": [main], **spec}
        await self.client.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": body})

    async def get(self, name: str = "p") -> Object:
        return await self.client.get(PODS, name, "default")

    async def until(self, wanted: Callable[[Object], Any], name: str = "p", *, seconds: float = 30.0, step: float = 0.1) -> Object:
        last: Object = {}
        for _ in range(int(seconds / step)):
            last = await self.get(name)
            if wanted(last):
                return last
            await self.step(step)
        raise AssertionError(f"never came true; story {self.story}; last: {last}")

    async def step(self, seconds: float) -> None:
        """Move the clock, and let worker threads (files) finish."""
        await self.clock.advance(seconds)
        await asyncio.sleep(0.002)

    async def until_gone(self, name: str = "p", seconds: float = 60.0) -> None:
        for _ in range(int(seconds * 5)):
            try:
                await self.get(name)
            except NotFoundError:
                return
            await self.step(0.2)
        raise AssertionError(f"never gone; story {self.story}")

    async def events(self, reason: str) -> list[str]:
        await self.step(0.1)
        return [str(e["message"]) for e in (await self.client.list(EVENTS, "default")).items if e["reason"] == reason]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock, storage = VirtualClock(), MemoryStorage()
    async with ApiServer(storage, clock=clock) as server, TaskOwner("test") as owner:
        world = World(Client(InProcessTransport(server.handler_for(ADMIN))), clock, tmp_path, owner)
        owner.start(world.agent.run(), "agent")
        while not world.agent.ready.is_set():
            await world.step(0.01)
        yield world


def ready(pod: Object) -> bool:
    return condition_true(pod, "Ready")


def container(pod: Object) -> Object:
    found: Object = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]
    return found


def check_of(pod: Object, kind: str) -> Mapping[str, Any]:
    return condition(pod["status"].get("conditions"), kind) or {}


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
    await world.until(ready)
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
