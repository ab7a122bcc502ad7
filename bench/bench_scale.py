"""Scale: a 1,000-replica Deployment on hollow nodes until every replica is Ready, with GETs beside it, all over TLS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import Figure, folder, percentile
from bench.served import connect, cpu_seconds, resident_mb, server

REPLICAS, NODES = 1000, 20
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
        yield Figure(name="1,000 replicas to Ready", value=seconds, unit="s", target=8, at_most=True, note=note)
        note = f"p50 {percentile(waits, 0.5) * 1e3:.1f} ms, worst {max(waits) * 1e3:.1f} ms, {len(waits)} requests"
        p99 = percentile(waits, 0.99) * 1e3
        yield Figure(name="GET meanwhile, p99", value=p99, unit="ms", target=50, at_most=True, note=note)
        yield Figure(name="server's resident memory afterwards", value=resident_mb(target.pid), unit="MB")


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
