"""The controllers together, against the real API server in process, with a hand that plays the kubelet."""

from collections.abc import AsyncIterator, Callable
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
from lateen.kube.meta import Object, condition, meta, timestamp
from lateen.kube.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    ENDPOINTSLICES,
    NAMESPACES,
    PODS,
    REPLICASETS,
    SERVICEACCOUNTS,
    SERVICES,
)
from lateen.reconcile import Manager
from lateen.reconcile.events import Recorder

CLOCK = SystemClock()


class World:
    def __init__(self, client: Client, informers: InformerSet) -> None:
        self.client, self.informers = client, informers
        self.hold_ready = False
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
        settings=Settings(volumes=tmp_path, root_ca="CA"),
    )
    world = World(client, informers)
    async with TaskOwner("test") as owner:
        informers.start(owner)
        recorder.start(owner)
        world.kubelet(owner)
        await Manager(build(kit), informers).start(owner)
        yield world


def deployment(image: str = "a", replicas: int = 3, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
            **spec,
        },
    }


async def test_a_deployment_rolls_out_updates_and_keeps_its_history(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment())
    first = await world.rolled_out(3, "a")
    assert meta(first)["annotations"]["deployment.kubernetes.io/revision"] == "1"
    await world.client.patch(
        DEPLOYMENTS, "web", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}, namespace="default"
    )
    second = await world.rolled_out(3, "b")
    assert meta(second)["annotations"]["deployment.kubernetes.io/revision"] == "2"
    progressing = condition(second["status"]["conditions"], "Progressing")
    assert progressing is not None
    assert progressing["reason"] == "NewReplicaSetAvailable"
    sets = (await world.client.list(REPLICASETS, "default")).items
    assert sorted(s["spec"]["replicas"] for s in sets) == [0, 3]


async def test_a_stuck_update_keeps_the_old_pods(world: World) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await world.client.create(DEPLOYMENTS, deployment(strategy=strategy))
    await world.rolled_out(3, "a")
    world.hold_ready = True
    await world.client.patch(
        DEPLOYMENTS, "web", {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}, namespace="default"
    )

    async def surged() -> bool:
        return len((await world.client.list(PODS, "default")).items) == 4

    await world.until(surged)
    await CLOCK.sleep(0.2)
    assert await surged()
    assert (await world.deployment())["status"]["availableReplicas"] == 3


async def test_scaling_and_deletion_leave_nothing(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(replicas=2))
    await world.rolled_out(2, "a")
    await world.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, namespace="default")
    await world.rolled_out(5, "a")
    await world.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 1}}, namespace="default")
    await world.rolled_out(1, "a")
    await world.client.delete(DEPLOYMENTS, "web", "default")

    async def gone() -> bool:
        return not (await world.client.list(PODS, "default")).items and not (await world.client.list(REPLICASETS, "default")).items

    await world.until(gone)


async def test_foreground_deletion_waits_for_dependents(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(replicas=2))
    await world.rolled_out(2, "a")
    await world.client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")

    async def gone() -> bool:
        return not (await world.client.list(DEPLOYMENTS, "default")).items

    await world.until(gone)
    assert not (await world.client.list(PODS, "default")).items


async def test_orphaned_dependents_stay(world: World) -> None:
    await world.client.create(DEPLOYMENTS, deployment(replicas=1))
    await world.rolled_out(1, "a")
    await world.client.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")

    async def gone() -> bool:
        return not (await world.client.list(DEPLOYMENTS, "default")).items

    await world.until(gone)
    await CLOCK.sleep(0.1)
    sets = (await world.client.list(REPLICASETS, "default")).items
    assert len(sets) == 1
    assert not meta(sets[0]).get("ownerReferences")


async def test_slices_follow_pods(world: World) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    await world.client.create(SERVICES, service)
    await world.client.create(DEPLOYMENTS, deployment(replicas=2))

    async def two() -> Any:
        slices = (await world.client.list(ENDPOINTSLICES, "default", label_selector="kubernetes.io/service-name=web")).items
        endpoints = [e for s in slices for e in s.get("endpoints") or ()]
        return slices if len(endpoints) == 2 and all(e["conditions"]["ready"] for e in endpoints) else None

    slices = await world.until(two)
    assert slices[0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


async def test_namespaces_are_furnished_and_emptied(world: World) -> None:
    await world.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})

    async def furnished() -> bool:
        await world.client.get(SERVICEACCOUNTS, "default", "n")
        return bool((await world.client.get(CONFIGMAPS, "kube-root-ca.crt", "n"))["data"]["ca.crt"] == "CA")

    await world.until(furnished)
    await world.client.delete(NAMESPACES, "n")

    async def gone() -> bool:
        return all(meta(n)["name"] != "n" for n in (await world.client.list(NAMESPACES)).items)

    await world.until(gone)
