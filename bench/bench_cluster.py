"""The cluster as a user meets it: help, start (warm, cold), up of the shop, memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Figure
from bench.lateen import Lateen, lateen

RUNS = 5


def run() -> Iterator[Figure]:
    """Start and up: seconds from exec, and resident memory with the shop running."""
    with lateen() as it:
        yield Figure(name="lateen --help", value=_median(it, "--help"), unit="s", target=0.15, at_most=True)
        it.run("cluster", "start")
        it.run("cluster", "stop")
        yield Figure(name="cluster start, warm", value=_starts(it), unit="s", target=0.7, at_most=True)
        if os.geteuid() == 0:
            yield Figure(name="cluster start, cold page cache", value=_starts(it, cold=True), unit="s", target=1.5, at_most=True)
        it.run("cluster", "start")
        it.up()
        it.run("down", "--purge", "--file", str(Path("examples/shop/lateen.yaml").resolve()))
        start = time.perf_counter()
        result = it.up()
        note = f"{result['seconds']:.2f} s of it applying and waiting"
        seconds = time.perf_counter() - start
        yield Figure(name="up of the shop, 14 pods, images built", value=seconds, unit="s", target=4, at_most=True, note=note)
        time.sleep(5)
        resident = it.json("cluster", "status")["rss_bytes"] / 1e6
        yield Figure(name="daemon's memory with the shop", value=resident, unit="MB", target=150, at_most=True)
        yield Figure(name="Envoys' memory (shared pages counted)", value=sum(_envoys(it)), unit="MB")


def _median(it: Lateen, *argv: str) -> float:
    return statistics.median(it.timed(*argv) for _ in range(RUNS))


def _starts(it: Lateen, *, cold: bool = False) -> float:
    seconds = []
    for _ in range(RUNS if not cold else 3):
        if cold:
            subprocess.run(["sync"], check=True)
            Path("/proc/sys/vm/drop_caches").write_text("3")
        seconds.append(it.timed("cluster", "start"))
        it.run("cluster", "stop")
    return statistics.median(seconds)


def _envoys(it: Lateen) -> Iterator[float]:
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes()
            if process.name.isdigit() and b"envoy" in words.split(b"\0")[0] and str(it.home).encode() in words:
                yield int((process / "status").read_text().partition("VmRSS:")[2].split()[0]) / 1e3
        except OSError:
            continue
