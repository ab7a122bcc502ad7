"""The machine goes down with everything that ran: the same cluster comes back, with its addresses, its data and its pods."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shop_rig import Lateen, get, order

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(120)]


@pytest.fixture
def lateen(tmp_path: Path) -> Iterator[Lateen]:
    made = Lateen(tmp_path / "home")
    yield made
    made.run("cluster", "stop")
    shutil.rmtree(made.home, ignore_errors=True)


def kubectl(lateen: Lateen, *argv: str) -> str:
    env = lateen.env | {"KUBECONFIG": str(lateen.home / "clusters/default/kubeconfig")}
    command = [str(Path(sys.executable).parent / "kubectl"), "-n", "shop", *argv]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=True).stdout


def everybody(home: Path) -> set[int]:
    """Every process of the cluster: those that have its folder in their command line or environment, and all they started."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for process in (p for p in Path("/proc").iterdir() if p.name.isdigit() and int(p.name) != os.getpid()):
        try:
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if str(home) in (process / "cmdline").read_text() or str(home).encode() in (process / "environ").read_bytes():
                found.add(int(process.name))
        except OSError:
            continue
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def power_off(home: Path) -> None:
    doomed = everybody(home)
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, or the living would start what died before them
        for pid in doomed:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
    deadline = time.monotonic() + 10
    while left := [pid for pid in doomed if Path(f"/proc/{pid}").exists() and not _zombie(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def services(lateen: Lateen) -> Any:
    found = json.loads(kubectl(lateen, "get", "services", "-o", "json"))["items"]
    return {s["metadata"]["name"]: s["spec"]["clusterIP"] for s in found}


def first_url(lateen: Lateen) -> str:
    return str(lateen.up()["urls"][0]).rstrip("/")


def answer(url: str) -> tuple[int, Any]:
    try:
        return get(url)
    except OSError:
        return 0, None


def pods(lateen: Lateen) -> Any:
    return sorted(p["metadata"]["uid"] for p in json.loads(kubectl(lateen, "get", "pods", "-o", "json"))["items"])


@pytest.mark.parametrize("runtime", ["process", "auto"])
def test_after_the_power_was_out_everything_is_as_before(lateen: Lateen, runtime: str) -> None:
    lateen.run("cluster", "start", "--runtime", runtime)
    url = first_url(lateen)
    order_id = uuid.uuid4().hex
    assert order(url, order_id) == 200
    addresses, before = services(lateen), pods(lateen)
    power_off(lateen.home)
    lateen.run("cluster", "start")
    kubectl(lateen, "wait", "deployment", "--all", "--for=condition=Available", "--timeout=40s")
    assert services(lateen) == addresses
    assert pods(lateen) == before, "no pod was made anew: each one runs again"
    url = first_url(lateen)  # while nobody held its port, another cluster may have taken it
    deadline = time.monotonic() + 20
    while answer(f"{url}/orders/{order_id}") != (200, {"order_id": order_id, "copies": 1}):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    counts = [
        c["restartCount"]
        for p in json.loads(kubectl(lateen, "get", "pods", "-o", "json"))["items"]
        for c in p["status"]["containerStatuses"]
    ]
    assert set(counts) == {1}
    assert lateen.up()["changes"].get("updated", 0) == 0
