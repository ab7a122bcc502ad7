"""The way from a cluster's own network to the rest of the world: ``slirp4netns``, where it is installed.

A user-space network stack on a tap device in the cluster's namespace: it needs no privileges, changes nothing on the machine, and
carries what pods send beyond the cluster; the machine's own 127.0.0.0/8 it does not reach. Run by ``compose``, owned by the
``system`` shim.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
from pathlib import Path

from lateen.aio.clock import Clock
from lateen.aio.tasks import within
from lateen.errors import LateenError
from lateen.shim.client import ShimClient, Spawn
from lateen.shim.netclient import NetworkClient

log = logging.getLogger(__name__)
ID = "internet"
_PROGRAM, _DEVICE = "slirp4netns", "internet"
_NETWORK = "198.18.0.0/24"  # for benchmarks of network devices: nobody's; .2 is the gateway, .3 answers DNS
_TUN = "/dev/net/tun"
_AGAIN, _PAUSE = 5.0, 1.0
_PLACE = "lateen.dev/network"


def missing() -> str:
    """Why there is no way out, '' if there is one."""
    if shutil.which(_PROGRAM) is None:
        return f"{_PROGRAM} is not installed"
    return "" if os.access(_TUN, os.R_OK | os.W_OK) else f"this user may not open {_TUN}"


async def keep(system: ShimClient, network: NetworkClient, log_file: Path, clock: Clock) -> None:
    """Keep it running until cancelled; cancelling leaves it alone. Returns at once where it cannot be."""
    if problem := missing():
        log.info("pods do not reach the internet: %s", problem)
        return
    while True:
        try:
            await _once(system, network, log_file)
        except (LateenError, KeyError, OSError) as error:
            log.warning("pods do not reach the internet: %s", error)
        await clock.sleep(_PAUSE)


async def _once(system: ShimClient, network: NetworkClient, log_file: Path) -> None:
    """Start it, or find it running; until it ends, or the network it leads out of is gone."""
    await system.connect()
    known, place = system.processes().get(ID), network.place()
    if known is not None and known.alive and known.labels.get(_PLACE, place) != place:
        await system.signal(ID, signal.SIGKILL)
        known = await system.wait(ID)
    if known is not None and not known.alive:
        await system.forget(ID)
    if known is None or not known.alive:
        options = ["--configure", "--mtu=65520", "--disable-host-loopback", f"--cidr={_NETWORK}"]
        await system.spawn(
            Spawn(
                id=ID,
                argv=[_PROGRAM, *options, str(network.pid), _DEVICE],
                env={"PATH": os.environ.get("PATH", os.defpath)},
                log=log_file,
                labels={_PLACE: place},
            )
        )
    try:
        ended = await within(_AGAIN, system.wait(ID))
    except TimeoutError:
        return
    log.warning("%s ended with exit code %s; see %s", _PROGRAM, ended.exit_code, log_file)
