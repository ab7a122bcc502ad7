"""Scheduler: decisions per second in the planner, and CPU to bind 1,000 pods through the API server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from bench.harness import Figure, folder
from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.scheduler.decide import Planner
from lateen.cluster.scheduler.loop import Scheduler
from lateen.cluster.scheduler.state import Cluster
from lateen.cluster.storage.sqlite import SqliteStorage
from lateen.kube.resources import EVENTS, NODES, PODS

ZONE = "topology.kubernetes.io/zone"


def run() -> Iterator[Figure]:
    """Scheduler: decisions per second, CPU to bind 1,000 pods."""
    selector = {"matchLabels": {"app": "app-0"}}
    spread = {"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    plain = _plan(5000, apps=1)
    yield Figure(name="planner: 5,000 pods of 1 app on 500 nodes", value=plain, unit="pods/s", target=2000)
    yield Figure(name="planner: 5,000 pods of 100 apps on 500 nodes", value=_plan(5000, apps=100), unit="pods/s")
    rate = _plan(5000, apps=1, topologySpreadConstraints=[spread])
    yield Figure(name="planner: with hard spreading over 3 zones", value=rate, unit="pods/s", target=2000)
    cpu, wall = uvloop.run(_bind(1000))
    note = f"{wall:.2f} s of time"
    yield Figure(name="1,000 pods bound, events written: CPU", value=cpu, unit="s", target=3, at_most=True, note=note)


def _plan(count: int, *, apps: int, **spec: Any) -> float:
    cluster = Cluster()
    planner = Planner(cluster)
    for i in range(500):
        cluster.set_node(_node(i))
    pods = [_pod(i, f"app-{i % apps}", uid=str(i), **spec) for i in range(count)]
    start = time.perf_counter()
    for pod in pods:
        decision = planner.decide(pod)
        assert decision.node, decision.message
        cluster.set_pod(pod, decision.node)
    return count / (time.perf_counter() - start)


async def _bind(count: int) -> tuple[float, float]:
    with folder() as place:
        store = SqliteStorage.open(Path(place) / "state.db")
        async with ApiServer(store) as server, TaskOwner("bench") as owner:
            client = Client(InProcessTransport(server.handler_for(ADMIN)))
            for i in range(100):
                node = _node(i)
                made = await client.create(NODES, {"metadata": node["metadata"], "spec": {}})
                await client.update_status(NODES, {**made, "status": node["status"]})
            for i in range(count):
                await client.create(PODS, _pod(i, "app-0"))
            start, cpu = time.perf_counter(), time.process_time()
            clock = SystemClock()
            owner.start(Scheduler(client, clock).run(), "scheduler")
            while len((await client.list(EVENTS)).items) < count:
                await clock.sleep(0.02)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - start
            assert all(p["spec"].get("nodeName") for p in (await client.list(PODS)).items)
        await store.close()
    return cpu, wall


def _node(i: int) -> dict[str, Any]:
    name = f"node-{i:03}"
    status = {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, ZONE: f"z{i % 3}"}}, "status": status}


def _pod(i: int, app: str, uid: str = "", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    metadata = {"name": f"{app}-{i}", "namespace": "default", "labels": {"app": app}} | ({"uid": uid} if uid else {})
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}
