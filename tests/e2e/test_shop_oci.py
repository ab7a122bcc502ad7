"""The shop in containers, as root and without privileges: an update and a killed daemon under load, from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oci_images import need
from shop_rig import Lateen, Load, get

pytestmark = [pytest.mark.peer, pytest.mark.unprivileged, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def lateen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lateen]:
    need("crun")
    made = Lateen(tmp_path_factory.mktemp("home"))
    made.run("cluster", "start", "--runtime", "oci")
    yield made
    made.run("cluster", "stop")
    shutil.rmtree(made.home, ignore_errors=True)


@pytest.fixture(scope="module")
def url(lateen: Lateen) -> str:
    return str(lateen.up()["urls"][0]).rstrip("/")


def running(lateen: Lateen) -> dict[str, int]:
    """The first process of every container, by name, as the engine knows it."""
    found = {}
    for state in lateen.home.glob("clusters/default/nodes/*/oci/**/pid"):
        pid = int(state.read_text())
        if Path(f"/proc/{pid}").exists():
            found[state.parent.name] = pid
    return found


def test_the_shop_runs_in_containers(lateen: Lateen, url: str) -> None:
    assert get(url + "/api/home")[0] == 200
    own = os.readlink("/proc/self/ns/pid")
    found = running(lateen)
    assert len(found) == 14
    assert own not in {os.readlink(f"/proc/{pid}/ns/pid") for pid in found.values()}
    pod = inside(lateen, "catalog", "import os; print(os.getpid(), open('/proc/self/status').read())")
    capabilities = next(line for line in pod.splitlines() if line.startswith("CapEff"))
    assert int(capabilities.split()[1], 16) == 0  # the restricted profile: all are dropped
    assert "Read-only file system" in inside(lateen, "catalog", "open('/here', 'w')", code=1)
    assert inside(lateen, "catalog", "open('/tmp/here', 'w').write('x'); print('written')").strip() == "written"


def inside(lateen: Lateen, service: str, script: str, *, code: int = 0) -> str:
    env = lateen.env | {"KUBECONFIG": str(lateen.home / "clusters/default/kubeconfig")}
    kubectl = Path(sys.executable).parent / "kubectl"
    command = [str(kubectl), "-n", "shop", "exec", f"deploy/{service}", "--", "python", "-c", script]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_an_update_of_containers_loses_nothing(lateen: Lateen, url: str) -> None:
    with Load(url) as load:
        time.sleep(0.3)
        lateen.up("catalog-v2.yaml")
        assert get(f"{url}/catalog")[1]["version"] == "2"
        lateen.up()
        time.sleep(0.3)
    assert load.lost == []
    assert load.sent > 50
    assert_orders(url, load)


def test_a_killed_daemon_adopts_its_containers(lateen: Lateen, url: str) -> None:
    before = running(lateen)
    with Load(url) as load:
        time.sleep(0.2)
        os.kill(lateen.json("cluster", "status")["pid"], signal.SIGKILL)
        time.sleep(0.5)
        lateen.run("cluster", "start")
        time.sleep(0.5)
    assert load.lost == []
    assert running(lateen) == before
    assert_orders(url, load)


def assert_orders(url: str, load: Any) -> None:
    for order_id in load.orders:
        assert get(f"{url}/orders/{order_id}")[1]["copies"] == 1, json.dumps(order_id)
