"""Scale: a 1,000-replica Deployment on hollow nodes until every replica is Ready, with GETs beside it, all over TLS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.harness import Figure, folder, percentile
from bench.left import objects
from bench.served import connect, cpu_seconds, resident_mb, server

REPLICAS, NODES = 1000, 20
BIG_APPS, BIG_REPLICAS, BIG_NODES = 10, 500, 500
BIG = "/apis/apps/v1/namespaces/big/deployments"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PATIENCE = 120.0


def run() -> Iterator[Figure]:
    """Scale: 1,000 replicas on hollow nodes to Ready; GET latency meanwhile."""
    with folder() as place, server(Path(place), hollow=NODES) as target, connect(target) as ask:
        before, start, waits = cpu_seconds(target.pid), time.perf_counter(), list[float]()
        ask("POST", DEPLOYMENTS, json.dumps(deployment("web", REPLICAS)))
        while not _ready(ask, "web", waits):
            if time.perf_counter() - start > PATIENCE:
                raise RuntimeError(f"not Ready after {PATIENCE:.0f} s")
            time.sleep(0.005)
        seconds, used = time.perf_counter() - start, cpu_seconds(target.pid) - before
        note = f"server CPU {used:.2f} s"
        yield Figure(name="1,000 replicas to Ready", value=seconds, unit="s", target=5, at_most=True, note=note)
        note = f"p50 {percentile(waits, 0.5) * 1e3:.1f} ms, worst {max(waits) * 1e3:.1f} ms, {len(waits)} requests"
        p99 = percentile(waits, 0.99) * 1e3
        yield Figure(name="GET meanwhile, p99", value=p99, unit="ms", target=50, at_most=True, note=note)
        yield Figure(name="server's resident memory afterwards", value=resident_mb(target.pid), unit="MB")

    yield from _end_to_end()


def _end_to_end() -> Iterator[Figure]:
    """10 Deployments with 500 replicas each on 500 nodes; then all to 0, to 500 again, and the namespace deleted."""
    with folder() as place, server(Path(place), hollow=BIG_NODES) as target, connect(target) as ask:
        before = objects(partial(_get, ask))
        ask("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": "big"}}))
        start = time.perf_counter()
        for i in range(BIG_APPS):
            ask("POST", BIG, json.dumps(deployment(f"app-{i}", BIG_REPLICAS)))
        made = _until(lambda: _pods(ask)[0] >= BIG_APPS * BIG_REPLICAS, start)
        ready = _until(lambda: _pods(ask)[1] >= BIG_APPS * BIG_REPLICAS, start)
        note = f"created after {made:.1f} s, Ready after {ready:.1f} s"
        rate = BIG_APPS * BIG_REPLICAS / ready
        yield Figure(
            name="5,000 pods on 500 hollow nodes, from the first write to Ready", value=rate, unit="pods/s", target=300, note=note
        )
        start = time.perf_counter()
        for replicas in (0, BIG_REPLICAS, None):
            _everything(ask, replicas)
            wanted = (replicas or 0) * BIG_APPS
            _until(lambda wanted=wanted: _pods(ask) == (wanted, wanted), time.perf_counter())  # type: ignore[misc]
        _until(lambda: "big" not in [n["metadata"]["name"] for n in ask("GET", "/api/v1/namespaces", None)["items"]], start)
        yield Figure(name="... to 0, to 5,000 again, namespace deleted", value=time.perf_counter() - start, unit="s")
        left = sorted(objects(partial(_get, ask), gone="big") - before)
        yield Figure(name="... objects left", value=len(left), unit="", target=0, at_most=True, note=" ".join(left[:5]))


def _get(ask: Any, path: str) -> Any:
    return ask("GET", path, None)


def _everything(ask: Any, replicas: int | None) -> None:
    """Scale every Deployment; without a number, delete the namespace."""
    if replicas is None:
        ask("DELETE", "/api/v1/namespaces/big", None)
        return
    for i in range(BIG_APPS):
        scale = {"metadata": {"name": f"app-{i}", "namespace": "big"}, "spec": {"replicas": replicas}}
        ask("PUT", f"{BIG}/app-{i}/scale", json.dumps(scale))


def _until(done: Callable[[], bool], start: float) -> float:
    while not done():
        if time.perf_counter() - start > PATIENCE:
            raise RuntimeError(f"not there after {PATIENCE:.0f} s")
        time.sleep(0.1)
    return time.perf_counter() - start


def _pods(ask: Any) -> tuple[int, int]:
    """How many pods of the Deployments there are, and how many are Ready: what their status says."""
    found = [(d.get("status") or {}) for d in ask("GET", BIG, None)["items"]]
    return sum(s.get("replicas", 0) for s in found), sum(s.get("readyReplicas", 0) for s in found)


def _ready(ask: Any, name: str, waits: list[float]) -> bool:
    start = time.perf_counter()
    found = ask("GET", f"{DEPLOYMENTS}/{name}", None)
    waits.append(time.perf_counter() - start)
    return int((found.get("status") or {}).get("readyReplicas") or 0) >= REPLICAS


def deployment(name: str, replicas: int) -> dict[str, Any]:
    container = {"name": "app", "image": "registry.local/app:1", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    toleration = {"key": "lateen.dev/fake", "operator": "Exists"}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], "tolerations": [toleration]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
