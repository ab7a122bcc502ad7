"""Storage: durable commits, one writer and many; CPU per write; opening a full store; listing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import uvloop

from bench.harness import Figure, folder, percentile
from lateen.cluster.storage.memory import MemoryStorage
from lateen.cluster.storage.seam import Storage
from lateen.cluster.storage.sqlite import SqliteStorage

PREFIX = "core/configmaps/default/"


def run() -> Iterator[Figure]:
    """Storage: durable commits, CPU per write, opening, listing."""
    yield from uvloop.run(_collect())


async def _collect() -> list[Figure]:
    with folder() as place:
        return [figure async for figure in _measure(Path(place))]


async def _measure(place: Path) -> AsyncIterator[Figure]:
    rate, cpu, _ = await _write(MemoryStorage(), "m", writers=1, total=20_000)
    yield Figure(name="memory: writes", value=rate, unit="/s")
    yield Figure(name="memory: loop CPU per write", value=cpu, unit="us", target=40, at_most=True)
    for writers, total, target in ((1, 3_000, None), (16, 20_000, None), (64, 40_000, 30_000)):
        store = SqliteStorage.open(place / f"{writers}.db")
        rate, cpu, waits = await _write(store, "s", writers=writers, total=total)
        await store.close()
        name = f"sqlite: durable commits, {writers} writer{'s' * (writers > 1)}"
        detail = {"p50_ms": percentile(waits, 0.5) * 1e3, "p99_ms": percentile(waits, 0.99) * 1e3}
        note = f"p50 {detail['p50_ms']:.2f} ms, p99 {detail['p99_ms']:.2f} ms"
        yield Figure(name=name, value=rate, unit="/s", target=target, note=note, detail=detail)
        ceiling = 40 if writers > 1 else None  # alone, a write pays for a whole turn of the loop
        yield Figure(name=f"sqlite: loop CPU per write, {writers} writers", value=cpu, unit="us", target=ceiling, at_most=True)
    store = SqliteStorage.open(place / "open.db")
    await _write(store, "o", writers=64, total=10_000)
    await store.close()
    start = time.perf_counter()
    store = SqliteStorage.open(place / "open.db")
    yield Figure(name="sqlite: open with 10,000 objects", value=time.perf_counter() - start, unit="s", target=0.3, at_most=True)
    start = time.perf_counter()
    for _ in range(1000):
        store.list(PREFIX, limit=500)
    yield Figure(name="list of 500 of 10,000", value=(time.perf_counter() - start) * 1e3, unit="us")
    await store.close()


async def _write(store: Storage, name: str, *, writers: int, total: int) -> tuple[float, float, list[float]]:
    """(writes per second, event-loop CPU in microseconds per write, seconds each write took)."""
    numbers, waits = iter(range(total)), []

    async def work() -> None:
        for i in numbers:
            start = time.perf_counter()
            await store.create(f"{PREFIX}{name}-{i:06}", config_map(f"{name}-{i:06}"))
            waits.append(time.perf_counter() - start)

    start, cpu = time.perf_counter(), time.thread_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            group.create_task(work())
    return total / (time.perf_counter() - start), (time.thread_time() - cpu) / total * 1e6, waits


def config_map(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": "0" * 36, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"key": "v" * 100}}
