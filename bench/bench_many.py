"""Two hundred services, four hundred real pods: time until all are ready, lateen's own memory, lateen's own idle CPU."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import Figure
from bench.lateen import SHOP, Lateen, lateen

SERVICES = int(os.environ.get("BENCH_SERVICES", "200"))
IDLE = 30.0
_TICK = os.sysconf("SC_CLK_TCK")


def run() -> Iterator[Figure]:
    """From one application file; each service calls two others. What lateen uses is every process of it that is not a pod's."""
    with lateen() as it:
        file = it.home / "many.json"
        file.write_text(json.dumps(_application()))
        it.run("cluster", "start")
        start = time.perf_counter()
        result = it.json("up", "--timeout", "180", "-f", str(file))
        seconds = time.perf_counter() - start
        note = f"{result['seconds']:.1f} s of it applying and waiting"
        name = f"{SERVICES} services, {2 * SERVICES} pods: ready"
        yield Figure(name=name, value=seconds, unit="s", target=60, at_most=True, note=note)
        time.sleep(20)
        before, began = _used(it), time.perf_counter()
        time.sleep(IDLE)
        after, passed = _used(it), time.perf_counter() - began
        shares = {k: 100 * (after[k] - before[k]) / passed for k in after if k in before}
        yield _figure("idle CPU of lateen", shares, "%", 5)
        yield _figure("memory of lateen (PSS)", _memory(it), "MB", 400)


def _figure(name: str, parts: dict[str, float], unit: str, target: float) -> Figure:
    note = ", ".join(f"{part} {value:.1f}" for part, value in sorted(parts.items()))
    return Figure(name=name, value=sum(parts.values()), unit=unit, target=target, at_most=True, note=note, detail=parts)


def _application() -> dict[str, Any]:
    build = {"context": str(SHOP), "inputs": ["kit/**", "catalog/**"]}
    services: dict[str, Any] = {}
    for n in range(SERVICES):  # a tree: each calls two others
        needs = {f"s{m:03}": None for m in (2 * n + 1, 2 * n + 2) if m < SERVICES}
        services[f"s{n:03}"] = {"build": build, "command": ["python", "-m", "catalog"], "needs": needs}
    services["s000"]["routes"] = [{"path": "/"}]
    defaults = {
        "replicas": 2,
        "ports": {"http": 8080},
        "health": {"ready": "GET /healthz"},
        "resources": {"cpu": "1m", "memory": "16Mi"},
    }
    return {"apiVersion": "lateen.dev/v1", "name": "many", "defaults": defaults, "services": services}


def _used(it: Lateen) -> dict[str, float]:
    """Seconds of CPU that each kind of lateen's processes has used."""
    used: dict[str, float] = {}
    for pid, kind in _processes(it):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used[kind] = used.get(kind, 0.0) + (int(fields[11]) + int(fields[12])) / _TICK
    return used


def _memory(it: Lateen) -> dict[str, float]:
    """Proportional set size in MB of each kind of lateen's processes."""
    sizes: dict[str, float] = {}
    for pid, kind in _processes(it):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        size = int(rollup.partition("\nPss:")[2].split()[0]) * 1024 / 1e6
        sizes[kind] = sizes.get(kind, 0.0) + size
    return sizes


def _processes(it: Lateen) -> Iterator[tuple[int, str]]:
    """Every process of this cluster that is not an application: they carry the home's path in their words."""
    daemon = it.daemon
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue
        pid = int(folder.name)
        if pid == daemon:
            yield pid, "daemon"
        elif str(it.home).encode() not in environ and not any(str(it.home) in word for word in words):
            continue
        elif "envoy" in words[0]:
            yield pid, "envoy"
        elif any("lateen.shim" in word for word in words):
            yield pid, "shim"
