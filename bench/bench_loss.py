"""Losses: requests through the gateway during rolling updates, daemon kills and pod kills. The ledger is the witness."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import Figure
from bench.lateen import SHOP, Lateen, lateen
from lateen.aio.clock import SystemClock
from lateen.aio.threads import run_blocking
from lateen.cli.load import Load, Tally

REQUESTS = int(os.environ.get("LATEEN_BENCH_REQUESTS", "100000"))
UPDATES, KILLS, PODS = 10, 5, 10
RATE = 900.0
CLOCK = SystemClock()


def run() -> Iterator[Figure]:
    """Losses under updates, daemon kills and pod kills, graceful and abrupt applications, keep-alive on and off."""
    with lateen() as it:
        url = it.up()["urls"][0]
        half = REQUESTS // 2
        for name, keep_alive, abrupt in (("graceful, keep-alive", True, False), ("abrupt, no keep-alive", False, True)):
            load = Load(url, rate=RATE, clock=CLOCK, keep_alive=keep_alive)
            tally, wrong = asyncio.run(_storm(it, load, half, abrupt=abrupt))
            note = f"{tally.sent} sent, {UPDATES // 2} updates, {KILLS // 2 + 1} daemon kills, p99 {tally.quantile(0.99):.0f} ms"
            note += f" {tally.failures}" if tally.failures else ""
            yield Figure(name=f"lost: {name}", value=tally.lost, unit="requests", target=0, at_most=True, note=note)
            note = f"{len(load.acknowledged)} acknowledged"
            yield Figure(name="acknowledged orders astray", value=wrong, unit="orders", target=0, at_most=True, note=note)
        load = Load(url, rate=300.0, clock=CLOCK, orders=False)
        tally = asyncio.run(_shoot(it, load))
        note = f"{tally.sent} sent {tally.failures or ''}"
        yield Figure(
            name=f"GETs lost to SIGKILL of {PODS} pods", value=tally.lost, unit="requests", target=0, at_most=True, note=note
        )


async def _storm(it: Lateen, load: Load, count: int, *, abrupt: bool) -> tuple[Tally, int]:
    async with load.running(), load.phase("storm") as tally:
        for i in range(UPDATES // 2):
            await run_blocking(lambda i=i: it.up(*_overlays(i, abrupt)))  # type: ignore[misc]
            if i < KILLS // 2 + 1:
                await _kill_daemon(it)
        while tally.sent < count:
            await CLOCK.sleep(0.1)
    wrong, _ = await load.missing()
    return tally, wrong


def _overlays(turn: int, abrupt: bool) -> list[Path]:
    """A new version of every service, every time."""
    text = f"defaults:\n  env: {{TURN: '{turn}'" + (", ABRUPT: '1'" if abrupt else "") + "}\n"
    file = Path(tempfile.gettempdir()) / f"lateen-bench-{os.getpid()}.yaml"
    file.write_text(text)
    return [SHOP / "catalog-v2.yaml", file] if turn % 2 else [file]


async def _kill_daemon(it: Lateen) -> None:
    os.kill(await run_blocking(lambda: it.daemon), signal.SIGKILL)
    await CLOCK.sleep(0.5)
    await run_blocking(lambda: it.run("cluster", "start"))


async def _shoot(it: Lateen, load: Load) -> Tally:
    async with load.running(), load.phase("pods") as tally:
        for _ in range(PODS):
            os.kill(_victim(it), signal.SIGKILL)
            await CLOCK.sleep(1.5)
    return tally


def _victim(it: Lateen) -> int:
    """A living pod of the shop that was not killed before: a second crash within minutes waits for its back-off, by design."""
    for file in sorted(it.home.glob("clusters/default/nodes/*/shim/processes/*.json"), key=lambda f: f.stat().st_mtime):
        record: dict[str, Any] = json.loads(file.read_text())
        if record["exit_code"] is None and record["id"].endswith("_0"):
            return int(record["pid"])
    raise RuntimeError("no pod to kill")
