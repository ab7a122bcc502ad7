"""Ends what a killed daemon left behind: the shims of a cluster, with every process they own. Used by ``control.stop``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lateen.aio.clock import SystemClock
from lateen.aio.tasks import gather
from lateen.errors import LateenError
from lateen.server.home import ClusterHome
from lateen.shim.client import ShimClient


def stop_shims(cluster: ClusterHome, progress: Callable[[str], None]) -> bool:
    """Stop each shim that still listens; whether there was one."""
    nodes = cluster.root / "nodes"
    names = [p.name for p in nodes.iterdir()] if nodes.is_dir() else []
    folders = {"system": cluster.system, **{n: nodes / n / "shim" for n in names}}
    left = {n: f for n, f in folders.items() if cluster.socket(n).exists()}
    if not left:
        return False
    progress("stopping what a killed daemon left")
    asyncio.run(_stop(cluster, left))
    return True


async def _stop(cluster: ClusterHome, folders: dict[str, Path]) -> None:
    await gather([_stop_one(cluster, name, folder) for name, folder in folders.items()])


async def _stop_one(cluster: ClusterHome, name: str, folder: Path) -> None:
    shim = ShimClient(folder=folder, socket=cluster.socket(name), name=name, clock=SystemClock())
    try:
        await shim.stop(seconds=5.0)
    except LateenError:
        cluster.socket(name).unlink(missing_ok=True)  # nobody listens there any more
