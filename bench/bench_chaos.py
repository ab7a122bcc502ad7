"""Chaos: random crashes, kills and pauses of pods, proxies, process owners and the daemon; a shop of 21 pods under load."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from bench.harness import Figure
from bench.lateen import Lateen, lateen
from lateen.aio.clock import SystemClock
from lateen.aio.threads import run_blocking
from lateen.cli.load import Load, Tally
from lateen.cli.target import client_for
from lateen.client import Client
from lateen.errors import LateenError
from lateen.kube.resources import DEPLOYMENTS, PODS

FAULTS = int(os.environ.get("LATEEN_BENCH_FAULTS", "500"))
SEED = int(os.environ.get("LATEEN_BENCH_SEED", "1"))
PATIENCE = 60.0
CLOCK = SystemClock()
Fault = Callable[["Storm"], Awaitable[None]]


def run() -> Iterator[Figure]:
    """One fault after another; after each, everything must be well again before the next."""
    with lateen() as it:
        overlay = Path(tempfile.gettempdir()) / f"lateen-chaos-{os.getpid()}.yaml"
        overlay.write_text("defaults: {replicas: 3}\n")
        url = it.up(overlay)["urls"][0]
        load = Load(url, rate=200.0, clock=CLOCK)
        storm = Storm(it, random.Random(SEED))
        tally, wrong = asyncio.run(_drive(storm, load))
        kinds = ", ".join(f"{count} {kind}" for kind, count in storm.done.most_common())
        yield Figure(
            name="faults after which it did not come back",
            value=len(storm.stuck),
            unit="faults",
            target=0,
            at_most=True,
            note=kinds,
        )
        note = f"{len(load.acknowledged)} acknowledged"
        yield Figure(name="acknowledged orders astray", value=wrong, unit="orders", target=0, at_most=True, note=note)
        times = sorted(storm.times)
        note = f"worst {times[-1]:.1f} s, {sum(times):.0f} s in all"
        yield Figure(name="time to be well again, median", value=times[len(times) // 2], unit="s", note=note)
        share = 100 * tally.lost / max(1, tally.sent)
        yield Figure(
            name="requests without a good answer",
            value=share,
            unit="%",
            note=f"{tally.lost} of {tally.sent} {tally.failures or ''}",
        )


async def _drive(storm: Storm, load: Load) -> tuple[Tally, int]:
    async with load.running(), load.phase("chaos") as tally:
        await storm.rage()
    wrong, _ = await load.missing()
    return tally, wrong


class Storm:
    """Makes faults, and watches the cluster recover from them."""

    def __init__(self, it: Lateen, chance: random.Random) -> None:
        self._it, self._chance, self._folder = it, chance, it.home / "clusters/default"
        self._client: Client | None = None
        self.times: list[float] = []
        self.stuck: list[str] = []
        self.done: Counter[str] = Counter()

    async def rage(self) -> None:
        """Every fault in turn."""
        self._client = client_for(kubeconfig=str(self._folder / "kubeconfig"))
        try:
            for _ in range(FAULTS):
                (fault,) = self._chance.choices(list(_FAULTS), weights=list(_FAULTS.values()))
                name = fault.__name__.strip("_")
                self.done[name] += 1
                began = CLOCK.monotonic()
                await fault(self)
                await CLOCK.sleep(0.15)
                if not await self._well_again():
                    self.stuck.append(name)
                self.times.append(CLOCK.monotonic() - began)
        finally:
            await self._client.close()

    async def _well_again(self) -> bool:
        until = CLOCK.monotonic() + PATIENCE
        while CLOCK.monotonic() < until:
            try:
                if await self._well():
                    return True
            except LateenError:
                pass  # the API is on its way back
            await CLOCK.sleep(0.05)
        return False

    async def _well(self) -> bool:
        assert self._client is not None
        pods = (await self._client.list(PODS, "shop")).items
        sets = (await self._client.list(DEPLOYMENTS, "shop")).items
        full = all((d.get("status") or {}).get("availableReplicas") == d["spec"]["replicas"] for d in sets)
        wanted = sum(d["spec"]["replicas"] for d in sets)
        ready = [p for p in pods if _ready(p) and "deletionTimestamp" not in p["metadata"]]
        return full and len(ready) == len(pods) == wanted

    def _living(self, *, fresh: bool) -> list[dict[str, Any]]:
        """Records of pods' processes. A second crash within minutes waits for its back-off, by design: ``fresh`` ones did not."""
        files = self._folder.glob("nodes/*/shim/processes/*.json")
        records = [json.loads(f.read_text()) for f in files]
        return [r for r in records if r["exit_code"] is None and r["pid"] and (not fresh or r["id"].endswith("_0"))]

    async def _crash(self) -> None:
        victims = self._living(fresh=True)
        if victims:
            os.kill(self._chance.choice(victims)["pid"], signal.SIGKILL)
        else:
            await self._delete()

    async def _pause(self) -> None:
        victim = self._chance.choice(self._living(fresh=False))["pid"]
        os.kill(victim, signal.SIGSTOP)
        await CLOCK.sleep(self._chance.uniform(0.2, 1.0))
        os.kill(victim, signal.SIGCONT)

    async def _delete(self) -> None:
        assert self._client is not None
        pods = (await self._client.list(PODS, "shop")).items
        await self._client.delete(PODS, self._chance.choice(pods)["metadata"]["name"], "shop")

    async def _proxy(self) -> None:
        records = [json.loads(f.read_text()) for f in (self._folder / "system/processes").glob("envoy-*.json")]
        os.kill(self._chance.choice([r["pid"] for r in records if r["exit_code"] is None]), signal.SIGKILL)

    async def _owner(self) -> None:
        lock = self._chance.choice(list(self._folder.glob("**/shim.lock")))
        os.kill(int(lock.read_text()), signal.SIGKILL)

    async def _daemon(self) -> None:
        os.kill(int((self._folder / "daemon.lock").read_text()), signal.SIGKILL)
        await run_blocking(lambda: self._it.run("cluster", "start"))


def _ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions") or ())


_FAULTS: dict[Fault, int] = {
    Storm._crash: 35,
    Storm._delete: 35,
    Storm._pause: 15,
    Storm._proxy: 5,
    Storm._owner: 5,
    Storm._daemon: 5,
}
