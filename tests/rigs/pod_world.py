"""A node agent against the API server in memory, with a runtime and a gate that do as they are told, on a virtual clock."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lateen.aio.clock import VirtualClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.cluster.node.agent import NodeAgent, NodeSettings
from lateen.cluster.node.images import HostImages
from lateen.cluster.node.networks.loopback import LoopbackNetwork
from lateen.cluster.node.seam import Blocked, CommandEnd, ContainerSpec, ContainerState, Stdio, Used
from lateen.errors import NotFoundError
from lateen.kube.addresses import pod_network
from lateen.kube.meta import Object, condition, condition_true
from lateen.kube.resources import EVENTS, PODS


class ScriptedRuntime:
    """Containers run until ``finish``; SIGTERM ends them unless they are ``deaf``."""

    name = "scripted"

    def __init__(self, clock: VirtualClock, story: list[str]) -> None:
        self.clock, self.story, self.deaf = clock, story, set[str]()
        self.known: dict[str, ContainerState] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self._ends: dict[str, asyncio.Event] = {}
        self.exec_code = 0
        self.unable: Exception | None = None

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

    async def resize(self, container_id: str, container: Mapping[str, Any]) -> None:
        if self.unable:
            raise self.unable
        self.story.append(f"resize {container['name']} {container['resources']['requests']['cpu']}")

    async def remove(self, container_id: str) -> None:
        self.known.pop(container_id, None)


_KILL = signal.SIGKILL
_SIGNALS: dict[int, str] = {signal.SIGTERM: "TERM", signal.SIGKILL: "KILL", signal.SIGQUIT: "QUIT"}


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
            try:
                last = await self.get(name)
            except NotFoundError:  # not yet
                last = {}
            if last and wanted(last):
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


def ready(pod: Object) -> bool:
    return condition_true(pod, "Ready")


def container(pod: Object) -> Object:
    found: Object = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]
    return found


def check_of(pod: Object, kind: str) -> Mapping[str, Any]:
    return condition(pod["status"].get("conditions"), kind) or {}
