"""The world of the controllers' tests: the real API server in process, every controller, and a hand that plays the kubelet."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.discovery import Discovery
from lateen.client.informer import InformerSet
from lateen.cluster.controllers import build
from lateen.cluster.controllers.kit import Kit, Settings
from lateen.errors import NotFoundError
from lateen.kube.meta import Object, meta, timestamp
from lateen.kube.resources import DEPLOYMENTS, PODS
from lateen.reconcile import Controller, Manager
from lateen.reconcile.events import Recorder

CLOCK = SystemClock()


class World:
    def __init__(self, client: Client, informers: InformerSet) -> None:
        self.client, self.informers = client, informers
        self.hold_ready = False
        self.controllers: Sequence[Controller] = ()
        self.addresses = iter(f"127.64.0.{i}" for i in range(1, 250))

    def kubelet(self, owner: TaskOwner) -> None:
        """Every pod becomes ready at once; a deleted one goes at once."""

        def handle(old: Object | None, new: Object | None) -> None:
            if new is not None and meta(new).get("deletionTimestamp"):
                owner.start(self._remove(new), "remove")
            elif old is None and new is not None and not self.hold_ready:
                owner.start(self.ready(new), "ready")

        self.informers.informer(PODS).subscribe(handle)

    async def ready(self, pod: Object) -> None:
        now = timestamp(CLOCK.now())
        conditions = [{"type": t, "status": "True", "lastTransitionTime": now} for t in ("ContainersReady", "Ready")]
        status = {"phase": "Running", "podIP": next(self.addresses), "conditions": conditions}
        await self.client.patch(PODS, meta(pod)["name"], {"status": status}, namespace=meta(pod)["namespace"], subresource="status")

    async def _remove(self, pod: Object) -> None:
        try:
            await self.client.delete(PODS, meta(pod)["name"], meta(pod)["namespace"], grace_seconds=0)
        except NotFoundError:
            pass

    async def until(self, what: Callable[[], Any], seconds: float = 5) -> Any:
        end = CLOCK.monotonic() + seconds
        while CLOCK.monotonic() < end:
            try:
                if found := await what():
                    return found
            except NotFoundError:
                pass
            await CLOCK.sleep(0.005)
        raise AssertionError(f"it did not happen in {seconds} s")

    async def deployment(self, name: str = "web") -> Object:
        return await self.client.get(DEPLOYMENTS, name, "default")

    async def rolled_out(self, replicas: int, image: str) -> Object:
        async def done() -> Any:
            d = await self.deployment()
            s = d.get("status") or {}
            counts = {s.get(k, 0) for k in ("replicas", "updatedReplicas", "availableReplicas")}
            pods = (await self.client.list(PODS, "default")).items
            images = {p["spec"]["containers"][0]["image"] for p in pods}
            return (
                d if counts == {replicas} and s.get("observedGeneration") == meta(d)["generation"] and images == {image} else None
            )

        found: Object = await self.until(done)
        return found


@pytest.fixture
async def world(client: Client, tmp_path: Path) -> AsyncIterator[World]:
    informers = InformerSet(client, CLOCK)
    recorder = Recorder(client, CLOCK, component="test")
    kit = Kit(
        client=client,
        informers=informers,
        discovery=Discovery(client),
        clock=CLOCK,
        recorder=recorder,
        settings=Settings(volumes=tmp_path / "volumes", root_ca="CA", node_grace=0.4, finished_pods=2),
    )
    world = World(client, informers)
    async with TaskOwner("test") as owner:
        informers.start(owner)
        recorder.start(owner)
        world.kubelet(owner)
        world.controllers = build(kit)
        await Manager(world.controllers, informers).start(owner)
        yield world
