"""The daemon of one embedded cluster: takes the lock, composes cluster and traffic, reports when ready, stops on SIGTERM.

SIGTERM and SIGINT end everything. A daemon that is killed leaves pods and Envoys running; the next one adopts them.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import signal
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lateen.aio.clock import SystemClock
from lateen.aio.heap import pause_collections
from lateen.aio.tasks import TaskOwner, gather
from lateen.aio.threads import run_blocking
from lateen.errors import InputError, LateenError
from lateen.server.home import ClusterHome, cluster_home, cluster_names
from lateen.server.network import LOOPBACK, NETWORKS, choose
from lateen.shim.client import ShimClient

if TYPE_CHECKING:
    from lateen.server.compose import Composition

log = logging.getLogger(__name__)
SLICES = 32
FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"


@dataclass(frozen=True, slots=True)
class Reporter:
    """Tells whoever started the daemon how it goes, one JSON object per line."""

    fd: int | None

    def tell(self, message: dict[str, Any]) -> None:
        """Never fails: nobody may be listening any more."""
        if self.fd is None:
            return
        try:
            os.write(self.fd, json.dumps(message).encode() + b"\n")
        except OSError:
            pass


def main(argv: Sequence[str]) -> int:
    """Run until told to stop; the exit code."""
    pause_collections()
    options = _options(argv)
    logging.basicConfig(
        level=os.environ.get("LATEEN_LOG", "INFO").upper(), format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    report = Reporter(options.report_fd)
    home = cluster_home(options.name)
    home.make()
    with home.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.tell({"error": f"the cluster {options.name} is being started or runs already"})
            return 1
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            _run(home, options, report)
        except LateenError as error:
            log.error("%s", error)
            hint = error.hint if isinstance(error, InputError) else ""
            message = error.message if isinstance(error, InputError) else str(error)
            report.tell({"error": message, "input": isinstance(error, InputError), "hint": hint})
            return 1
    return 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lateen.server")
    parser.add_argument("--name", required=True)
    parser.add_argument("--report-fd", type=int)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--fake-nodes", type=int)
    parser.add_argument("--api-port", type=int)
    parser.add_argument("--gateway-port", type=int)
    parser.add_argument("--node-grace", type=float)
    parser.add_argument("--network", choices=NETWORKS)
    parser.add_argument("--runtime")
    parser.add_argument("--eviction-hard")
    parser.add_argument("--image-gc")
    parser.add_argument("--allowed-unsafe-sysctls")
    return parser.parse_args(argv)


def _run(home: ClusterHome, options: argparse.Namespace, report: Reporter) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(home, options, report))


async def _serve(home: ClusterHome, options: argparse.Namespace, report: Reporter) -> None:
    settings = _settings(home, options)
    # The process owners start while this process still reads its own code: both take a tenth of a second.
    async with TaskOwner("warm") as owner:
        warming = owner.start(_warm_shims(home, settings), "shims")
        composed = await run_blocking(_composition)
        await warming
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    composition = composed(home, settings, SystemClock())
    try:
        ready = await composition.start(lambda phase: report.tell({"phase": phase}))
    except BaseException:
        await composition.abandon()
        raise
    settings |= ready | {"ready_pid": os.getpid()}
    home.write_settings(settings)
    report.tell({"ready": settings})
    await stop.wait()
    log.info("stopping")
    await composition.stop()
    home.write_settings({k: v for k, v in settings.items() if k != "ready_pid"})


def _composition() -> type[Composition]:
    # aiohttp reads the machine's CA certificates twice while it is imported, 50 ms, and this process calls nobody outside.
    kept = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        from lateen.server.compose import Composition
    finally:
        if kept is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = kept
    return Composition


async def _warm_shims(home: ClusterHome, settings: dict[str, Any]) -> None:
    """Start the process owners that will be asked for in a moment, or find them running; decide which network they live in."""
    clock = SystemClock()
    system = ShimClient(folder=home.system, socket=home.socket("system"), name="system", clock=clock)
    pid = await choose(home, settings, system, clock)
    nodes = {n: home.node(n) / "shim" for n in node_names(settings)}
    await gather(
        [_warm(ShimClient(folder=f, socket=home.socket(n), name=n, clock=clock, within=lambda: pid)) for n, f in nodes.items()]
    )
    await system.close()


async def _warm(shim: ShimClient) -> None:
    try:
        await shim.connect()
        await shim.close()
    except LateenError as error:
        log.warning("%s", error)  # it is tried again where it is needed, and reported there


def node_names(settings: dict[str, Any]) -> list[str]:
    """The real nodes: ``node-0``, ``node-1``, ..."""
    return [f"node-{i}" for i in range(settings["nodes"])]


def _settings(home: ClusterHome, options: argparse.Namespace) -> dict[str, Any]:
    """What the cluster had before, changed by what is asked for now."""
    settings: dict[str, Any] = {
        "name": home.name,
        "nodes": 1,
        "fake_nodes": 0,
        "api_port": 0,
        "gateway_port": 0,
        "node_grace": 40.0,
        "runtime": "auto",
    }
    kept = home.settings()
    settings |= kept
    settings.pop("ready_pid", None)
    if "slice" in kept:
        settings.setdefault("network", LOOPBACK)  # of a time when there was no other
        if options.network not in (None, settings["network"]):
            raise InputError(
                f"cluster {home.name} has the network {settings['network']}, and its objects have addresses of that",
                hint=f"run `lateen cluster reset --name {home.name}` to begin anew with --network {options.network}",
            )
    settings["fixed"] = sorted(_fixed(kept, options))
    settings |= {k: v for k, v in vars(options).items() if k not in ("name", "report_fd") and v is not None}
    if "slice" not in settings:
        settings["slices"] = _preferred_slices(home)
    return settings


def _fixed(kept: Mapping[str, Any], options: argparse.Namespace) -> set[str]:
    """The ports that somebody asked for, now or before: the cluster never takes another one instead."""
    asked = {name: getattr(options, name) for name in ("api_port", "gateway_port")}
    return {name for name, port in asked.items() if port or (port is None and name in kept.get("fixed", ()))}


def _preferred_slices(home: ClusterHome) -> list[int]:
    """Slices in the order to try: not those that other clusters of this user keep, starting where the folder's name falls."""
    kept = {cluster_home(n).settings().get("slice") for n in cluster_names() if n != home.name}
    first = zlib.crc32(str(home.root).encode()) % SLICES
    order = [(first + i) % SLICES for i in range(SLICES)]
    return [k for k in order if k not in kept] or order
