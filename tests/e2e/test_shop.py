"""First light, as a user sees it: the shop on an embedded cluster, through the command line, from outside."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop_rig import SHOP, Lateen, Load, get, order

pytestmark = [pytest.mark.unprivileged, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def lateen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lateen]:
    made = Lateen(tmp_path_factory.mktemp("home"))
    yield made
    made.run("cluster", "stop")
    shutil.rmtree(made.home, ignore_errors=True)


@pytest.fixture(scope="module")
def url(lateen: Lateen) -> str:
    result = lateen.up()
    assert result["changes"]["created"] > 30
    return str(result["urls"][0]).rstrip("/")


def test_the_page_and_an_order_go_through_the_gateway(url: str) -> None:
    status, page = get(url + "/")
    assert status == 200
    assert b"The shop" in page
    order_id = uuid.uuid4().hex
    assert order(url, order_id) == 200
    assert order(url, order_id) == 200
    assert get(f"{url}/orders/{order_id}") == (200, {"order_id": order_id, "copies": 1})
    assert get(f"{url}/orders/nobody")[0] == 404


def test_up_again_changes_nothing(lateen: Lateen, url: str) -> None:
    changes = lateen.up()["changes"]
    assert {verb: n for verb, n in changes.items() if n and verb != "unchanged"} == {}


def test_a_dry_run_says_what_an_up_would_change(lateen: Lateen, url: str, tmp_path: Path) -> None:
    file = str(SHOP / "lateen.yaml")
    assert "nothing differs" in lateen.run("diff", "--live", "-f", file).stdout
    more = tmp_path / "more.yaml"
    more.write_text("services: {catalog: {replicas: 3}}\n")
    said = json.loads(lateen.run("diff", "--live", "-f", file, "-f", str(more), "-o", "json", code=1).stdout)
    (changed,) = said["objects"]
    assert changed["changes"] == [{"path": "spec.replicas", "before": 2, "after": 3}]
    assert "nothing differs" in lateen.run("diff", "--live", "-f", file).stdout, "nothing was written"


def test_nobody_else_enters_the_folder_with_the_secrets(lateen: Lateen, url: str) -> None:
    assert (lateen.home / "clusters/default").stat().st_mode & 0o077 == 0


def test_status_and_logs(lateen: Lateen, url: str) -> None:
    state = lateen.json("status", "-f", str(SHOP / "lateen.yaml"))
    assert state["ok"]
    assert {o["ready"] for o in state["objects"] if o["kind"] == "Deployment"} == {"2/2"}
    said = lateen.run("logs", "catalog", "--file", str(SHOP / "lateen.yaml"))
    assert "catalog 1 listens on" in said.stdout


def test_an_update_loses_nothing(lateen: Lateen, url: str) -> None:
    with Load(url) as load:
        time.sleep(0.3)
        lateen.up("catalog-v2.yaml")
        assert get(f"{url}/catalog")[1]["version"] == "2"
        lateen.up()
        time.sleep(0.3)
    assert load.lost == []
    assert load.sent > 50
    for order_id in load.orders:
        assert get(f"{url}/orders/{order_id}")[1]["copies"] == 1


def pids(home: Path) -> dict[str, int]:
    """The living processes of this home, pods' and proxies', by record."""
    found = {}
    for record in home.glob("clusters/default/**/processes/*.json"):
        data = json.loads(record.read_text())
        if data["exit_code"] is None:
            found[data["id"]] = data["pid"]
    return found


def test_a_killed_daemon_loses_no_pod_and_no_request(lateen: Lateen, url: str) -> None:
    before = pids(lateen.home)
    assert len([name for name in before if "_" in name]) == 14
    with Load(url) as load:
        time.sleep(0.2)
        os.kill(lateen.json("cluster", "status")["pid"], signal.SIGKILL)
        time.sleep(0.5)
        lateen.run("cluster", "start")
        time.sleep(0.5)
    assert load.lost == []
    assert pids(lateen.home) == before
    assert lateen.up()["changes"]["updated"] == 0


def test_killed_process_owners_lose_no_process_and_no_request(lateen: Lateen, url: str) -> None:
    before = pids(lateen.home)
    owners = [int(lock.read_text()) for lock in lateen.home.glob("clusters/default/**/shim.lock")]
    assert len(owners) == 2
    with Load(url) as load:
        time.sleep(0.2)
        for owner in owners:
            os.kill(owner, signal.SIGKILL)
        time.sleep(2)
    assert load.lost == []
    assert pids(lateen.home) == before


def test_killed_pods_lose_no_reads(lateen: Lateen, url: str) -> None:
    lost, stop = [], threading.Event()

    def read() -> None:
        while not stop.wait(0.005):
            status, _ = get(f"{url}/catalog")
            if status != 200:
                lost.append(status)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(2):
        victim = next(pid for name, pid in pids(lateen.home).items() if "catalog" in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(victim, signal.SIGKILL)
        time.sleep(1.5)
    stop.set()
    reader.join()
    assert lost == []


def test_another_cluster_by_kubeconfig_and_plain_token(lateen: Lateen, url: str, tmp_path: Path) -> None:
    own = json.loads((lateen.home / "clusters/default/kubeconfig").read_text())
    stranger = tmp_path / "kubeconfig"
    stranger.write_text(json.dumps(own))
    for command in ("up", "status"):
        done = subprocess.run(
            [sys.executable, "-m", "lateen", command, "-f", str(SHOP / "lateen.yaml"), "--kubeconfig", str(stranger), "-o", "json"],
            env=lateen.env,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr


def test_bad_input_says_where_and_what(lateen: Lateen, tmp_path: Path) -> None:
    file = tmp_path / "lateen.yaml"
    file.write_text("apiVersion: lateen.dev/v1\nname: x\nservices:\n  a:\n    image: a\n    port: {http: 80}\n")
    done = lateen.run("render", "-f", str(file), code=2)
    assert f"{file}:6:5" in done.stderr
    assert "ports" in done.stderr


def test_down_keeps_data_and_stop_leaves_nothing(lateen: Lateen, url: str) -> None:
    count = get(f"{url}/orders/count")[1]["count"]
    assert lateen.json("down", "--file", str(SHOP / "lateen.yaml"))["kept"]
    assert not [name for name in pids(lateen.home) if "_" in name]
    again = lateen.up()
    assert get(str(again["urls"][0]) + "orders/count")[1]["count"] == count
    lateen.run("cluster", "stop")
    left = [p for p in Path("/proc").iterdir() if p.name.isdigit() and str(lateen.home) in command_of(p)]
    assert left == []


def command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
