"""``lateen demo``: the shop on the embedded cluster, under load, through an update and three failures. Counted from outside."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lateen.cli.options import Format, Output
from lateen.cli.output import emit, note, paint, say, table
from lateen.cli.running import run
from lateen.errors import FailedError, InputError

if TYPE_CHECKING:
    from lateen.cli.load import Load, Tally

RATE = 250.0  # requests per second


def demo(
    name: Annotated[str, typer.Option("--name", help="The cluster to run it on.")] = "demo",
    folder: Annotated[Path | None, typer.Option("--shop", help="The shop's folder.", show_default="examples/shop")] = None,
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Leave the cluster running at the end.")] = True,
    output: Output = Format.text,
) -> None:
    """Bring up the shop, drive load through its gateway, release a version, kill a pod, kill the daemon, and count losses."""
    from lateen.server import control, home

    shop, quiet = _shop(folder), output is not Format.text

    def tell(text: str) -> None:
        if not quiet:
            note(f"• {text}")

    cluster = home.cluster_home(name)
    tell(f"starting cluster {name}")
    began = time.perf_counter()
    settings = control.start(cluster, control.StartOptions())
    started = time.perf_counter() - began
    result = run(_run(shop, name, settings, tell))
    result = {"name": name, "cluster_ready_seconds": round(started, 3), **result}
    if not keep:
        tell("stopping")
        control.stop(cluster)
    _print(result, keep=keep, kubeconfig=settings["kubeconfig"], output=output)
    lost = sum(p["lost"] for p in result["phases"])
    if lost or result["orders"]["wrong"]:
        raise FailedError(f"{lost} requests were lost, {result['orders']['wrong']} acknowledged orders are not there exactly once")


def _shop(folder: Path | None) -> Path:
    """The shop's folder: as named, below the working folder, or beside the installed package's source."""
    places = [folder] if folder else [Path("examples/shop"), Path(__file__).resolve().parents[3] / "examples" / "shop"]
    for place in places:
        if (place / "lateen.yaml").is_file():
            return place
    raise InputError(f"there is no shop in {places[0]}", hint="run this in a clone of lateen, or name the folder with --shop")


async def _run(shop: Path, name: str, settings: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    from lateen.aio.clock import SystemClock
    from lateen.cli.load import Load

    tell("building and deploying the shop")
    began = time.perf_counter()
    up = await _up(shop, name, [])
    ready = time.perf_counter() - began
    url = settings["gateway"]
    load = Load(url, rate=RATE, clock=SystemClock())
    phases: list[Tally] = []
    async with load.running():
        tell(f"load on {url}: {RATE:.0f} requests per second, a tenth of them orders")
        phases.append(await _phase(load, "steady", 3.0))
        tell("releasing version 2 of catalog")
        async with load.phase("rolling update") as tally:
            await _up(shop, name, ["catalog-v2.yaml"])
        phases.append(tally)
        tell("SIGKILL to a pod of catalog")
        async with load.phase("pod killed") as tally:
            _kill_pod(await _pod_address(name))
            await SystemClock().sleep(3.0)
        phases.append(tally)
        tell("SIGKILL to the daemon")
        async with load.phase("daemon killed") as tally:
            away = await _kill_daemon(name)
        phases.append(tally)
        phases.append(await _phase(load, "after", 2.0))
    wrong, count = await load.missing()
    return {
        "shop_ready_seconds": round(ready, 3),
        "daemon_away_seconds": round(away, 3),
        "urls": up["urls"],
        "phases": [p.summary() for p in phases],
        "orders": {"acknowledged": len(load.acknowledged), "wrong": wrong, "stored": count},
    }


async def _phase(load: Load, name: str, seconds: float) -> Tally:
    from lateen.aio.clock import SystemClock

    async with load.phase(name) as tally:
        await SystemClock().sleep(seconds)
    return tally


async def _up(shop: Path, name: str, overlays: list[str]) -> dict[str, Any]:
    from lateen.aio.threads import run_blocking
    from lateen.cli.project import load_application, rendered
    from lateen.cli.up import deploy

    def prepare() -> Any:
        application = load_application([shop / "lateen.yaml", *(shop / o for o in overlays)])
        return application, rendered(application, build=True, progress=lambda _: None)

    application, objects = await run_blocking(prepare)
    return await deploy(application, objects, name=name, context="", kubeconfig="", wait=True, seconds=120, force=False, quiet=True)


async def _pod_address(name: str) -> tuple[str, int]:
    """Where a ready pod of catalog listens."""
    from lateen.cli.target import target
    from lateen.kube.resources import PODS

    async with target(name=name, context="", kubeconfig="") as client:
        pods = (await client.list(PODS, "shop", label_selector="app.kubernetes.io/name=catalog")).items
    running = [p for p in pods if not p["metadata"].get("deletionTimestamp") and p["status"].get("podIP")]
    return running[0]["status"]["podIP"], 8080


def _kill_pod(address: tuple[str, int]) -> None:
    """SIGKILL to the process that listens on ``address``, found in /proc as anybody could."""
    host, port = address
    wanted = "".join(f"{int(part):02X}" for part in reversed(host.split("."))) + f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[3] == "0A":
            os.kill(_holder(fields[9]), signal.SIGKILL)
            return
    raise FailedError(f"nobody listens on {host}:{port}")


def _holder(inode: str) -> int:
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(fd.readlink()) == f"socket:[{inode}]" for fd in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    raise FailedError(f"no process holds the socket {inode}")


async def _kill_daemon(name: str) -> float:
    """SIGKILL the daemon, leave it dead for a second, start it again; how long it was away."""
    from lateen.aio.clock import SystemClock
    from lateen.aio.threads import run_blocking
    from lateen.server import control, home

    cluster = home.cluster_home(name)
    pid = control.running_pid(cluster)
    if pid is None:
        raise FailedError(f"the daemon of {name} is not running")
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    await SystemClock().sleep(1.0)
    await run_blocking(lambda: control.start(cluster, control.StartOptions()))
    away = time.perf_counter() - began
    await SystemClock().sleep(2.0)
    return away


def _print(result: dict[str, Any], *, keep: bool, kubeconfig: str, output: Format) -> None:
    if emit(result, output):
        return
    say()
    say(f"cluster ready after {result['cluster_ready_seconds']:.2f} s, shop ready after {result['shop_ready_seconds']:.2f} s")
    say(f"the daemon was away for {result['daemon_away_seconds']:.2f} s; pods and proxies went on")
    say()
    table(
        ["PHASE", "SECONDS", "SENT", "LOST", "P50 MS", "P99 MS"],
        [
            [p["phase"], f"{p['seconds']:.1f}", p["sent"], _lost(p["lost"]), p["latency_ms"]["p50"], p["latency_ms"]["p99"]]
            for p in result["phases"]
        ],
    )
    orders = result["orders"]
    say()
    verdict = paint("yes", "good") if not orders["wrong"] else paint("no", "bad")
    say(f"{orders['acknowledged']} orders acknowledged, each stored exactly once: {verdict}")
    if keep:
        lateen = "lateen" if shutil.which("lateen") else sys.argv[0]
        say()
        say(f"open        {result['urls'][0]}")
        say(f"kubectl     export KUBECONFIG={kubeconfig}")
        say(f"stop it     {lateen} cluster stop --name {result['name']}")


def _lost(count: int) -> str:
    return paint("0", "good") if not count else paint(str(count), "bad")
