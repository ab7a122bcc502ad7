"""Which network a cluster has: one of its own (``netns``) where the kernel allows it, else the machine's loopback addresses.

Decided at a cluster's first start and kept, because its objects have addresses of it. Used by ``daemon`` and ``compose``.
"""

from __future__ import annotations

import fcntl
import logging
import os
from typing import Any

from lateen.aio.clock import Clock
from lateen.errors import FailedError, InputError
from lateen.server.home import ClusterHome
from lateen.shim.client import ShimClient
from lateen.shim.netclient import NetworkClient

log = logging.getLogger(__name__)
NETNS, LOOPBACK = "netns", "loopback"
NETWORKS = (NETNS, LOOPBACK)
_PROXIES = ("envoy-mesh", "envoy-edge")  # they live in there, too, and are nobody's child who does


def network_client(home: ClusterHome, system: ShimClient, clock: Clock) -> NetworkClient:
    """The keeper of a cluster's namespaces, owned by the ``system`` shim."""
    return NetworkClient(
        system,
        folder=home.root / "network",
        socket=home.socket("network"),
        clock=clock,
        rejoin=lambda: [*inhabitants(home), *(p.pid for i, p in system.processes().items() if i in _PROXIES and p.alive)],
    )


async def choose(home: ClusterHome, settings: dict[str, Any], system: ShimClient, clock: Clock) -> int:
    """Settle ``settings["network"]`` and start what it needs; the pid of who lives in it (0: it is the machine's).

    InputError when the kernel does not allow what was asked for, or what the cluster had before."""
    asked = settings.get("network")
    await system.connect()
    if asked == LOOPBACK:
        return 0
    client = network_client(home, system, clock)
    try:
        await client.start()
    except FailedError as error:
        if asked is not None:
            hint = "allow unprivileged user namespaces, run as root, or begin anew with --network loopback"
            raise InputError(f"this machine does not allow the network {NETNS}: {error}", hint=hint) from error
        log.info("pods are on the loopback network: %s", error)
        settings |= {"network": LOOPBACK, "network_reason": str(error)}
        return 0
    settings["network"] = NETNS
    keeper = client.pid
    client.close()
    return keeper


def inhabitants(home: ClusterHome) -> list[int]:
    """Process owners of the nodes that are alive: they live in the cluster's network."""
    return [pid for lock in home.root.glob("nodes/*/shim/shim.lock") if (pid := _holder(str(lock)))]


def _holder(path: str) -> int:
    """Who holds a shim's lock, 0 if nobody does."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(handle, 20).decode()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(handle)
    return 0
