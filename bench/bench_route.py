"""A change of weights, from the API write to its effect in Envoy, while 1,000 pods start and end beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import aiohttp

from bench.bench_scale import deployment
from bench.harness import Figure, percentile
from bench.lateen import Lateen, lateen
from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.cli.target import client_for
from lateen.client.client import Client
from lateen.kube.resources import DEPLOYMENTS, HTTPROUTES

CHANGES, REPLICAS = 100, 1000
CLOCK = SystemClock()


def run() -> Iterator[Figure]:
    """Route change to effect: p50 and p99 in ms, while 1,000 hollow pods start and end."""
    with lateen() as it:
        it.run("cluster", "start", "--fake-nodes", "20")
        url = it.up()["urls"][0]
        waits = asyncio.run(_measure(it, url))
    note = f"{len(waits)} changes, worst {max(waits) * 1e3:.0f} ms"
    for share, target in ((0.5, 15), (0.99, 60)):
        value = percentile(waits, share) * 1e3
        yield Figure(name=f"write to effect, p{share * 100:.0f}", value=value, unit="ms", target=target, at_most=True, note=note)


async def _measure(it: Lateen, url: str) -> list[float]:
    client = client_for(kubeconfig=str(it.home / "clusters/default/kubeconfig"))
    big = deployment("big", 0)
    big["metadata"]["namespace"] = "default"
    await client.create(DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment", **big})
    waits: list[float] = []
    async with aiohttp.ClientSession() as session, TaskOwner("route") as owner:
        owner.start(_churn(client), "churn")
        for i in range(CHANGES):
            waits.append(await _change(client, session, url, ("payment", 404) if i % 2 == 0 else ("catalog", 200)))
            await CLOCK.sleep(0.05)
    await client.close()
    return waits


async def _churn(client: Client) -> None:
    """1,000 pods start and end, again and again."""
    while True:
        for replicas in (REPLICAS, 0):
            await client.patch(DEPLOYMENTS, "big", {"spec": {"replicas": replicas}}, namespace="default")
            while (await _status(client)).get("replicas", 0) != replicas:
                await CLOCK.sleep(0.05)


async def _status(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(DEPLOYMENTS, "big", "default")).get("status") or {}
    return found


async def _change(client: Client, session: aiohttp.ClientSession, url: str, wanted: tuple[str, int]) -> float:
    """Give one of two services all the weight of /catalog; seconds from before the write until the gateway obeys."""
    name, status = wanted
    backends = [{"name": n, "port": 8080, "weight": int(n == name)} for n in ("catalog", "payment")]
    path = [{"op": "replace", "path": "/spec/rules/0/backendRefs", "value": backends}]
    start = time.perf_counter()
    await client.patch(HTTPROUTES, "catalog", path, namespace="shop", kind="json")
    while True:
        async with session.get(url + "catalog") as answer:
            await answer.read()
            if answer.status == status:
                return time.perf_counter() - start
