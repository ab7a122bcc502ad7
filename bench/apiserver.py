"""The server of bench_api and bench_scale: a booted cluster with hollow nodes only, in a process of its own, on the scratch disk.

``python -m bench.apiserver FOLDER HOLLOW_NODES [PROFILE]`` prints one JSON line (server, token) and serves until its standard input
ends. With PROFILE, cProfile's statistics of the time between are written there.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import sys
from pathlib import Path

import uvloop
import yaml

from lateen.aio.clock import SystemClock
from lateen.cluster.boot import BootSettings, Cluster


async def serve(folder: Path, hollow: int, profile: str = "") -> None:
    settings = BootSettings(
        name="bench",
        folder=folder / "cluster",
        images=folder / "images",
        socket=lambda name: folder / f"{name}.sock",
        slice=31,
        nodes=(),
        fake_nodes=hollow,
    )
    cluster = Cluster(settings, SystemClock())
    await cluster.start_api()
    await cluster.start_nodes()
    config = yaml.safe_load((settings.folder / "kubeconfig").read_text())
    print(json.dumps({"server": cluster.server, "token": config["users"][0]["user"]["token"]}), flush=True)
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    if profile:
        profiler.disable()
        profiler.dump_stats(profile)
    await cluster.stop()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
