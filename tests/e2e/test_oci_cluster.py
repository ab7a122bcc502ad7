"""Containers on a whole cluster, as root and without privileges: their network, adoption after the daemon's death, no trace at
the end. From outside, with the command line and kubectl."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oci_images import busybox, need

from lateen.images.layout import ImageStore

pytestmark = [pytest.mark.peer, pytest.mark.unprivileged, pytest.mark.timeout(120)]
KUBECTL = Path(sys.executable).parent / "kubectl"
ROOT = os.geteuid() == 0


class Rig:
    """The command line and kubectl, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "clusters/default"
        self.env = {**os.environ, "LATEEN_HOME": str(home), "KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(home)}
        self.env.pop("LATEEN_CLUSTER", None)

    def lateen(self, *argv: str) -> str:
        command = [sys.executable, "-m", "lateen", *argv]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=True).stdout

    def kubectl(self, *argv: str, text: str = "") -> str:
        command = [str(KUBECTL), *argv]
        done = subprocess.run(command, env=self.env, input=text, capture_output=True, text=True, timeout=40, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def run(self, name: str, script: str, **spec: Any) -> None:
        container = {"name": "app", "image": "bb", "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
        container |= spec.pop("container", {})
        pod = {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}
        self.kubectl(
            "apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod})
        )

    def pod(self, name: str) -> Any:
        return json.loads(self.kubectl("get", "pod", name, "-o", "json"))

    def until(self, name: str, wanted: Callable[[Any], Any], seconds: float = 20) -> Any:
        deadline = time.monotonic() + seconds
        while not wanted(found := self.pod(name)):
            assert time.monotonic() < deadline, found["status"]
            time.sleep(0.1)
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    need("crun", "busybox-static")
    found = Rig(tmp_path / "home")
    status = None
    try:
        found.lateen("cluster", "start")
        status = json.loads(found.lateen("cluster", "status", "-o", "json"))
        if status["runtime"] == "process":
            assert not ROOT
            pytest.skip(f"no containers for this user here: the network is {status['network']}")
        busybox(ImageStore(found.home / "images"), "bb")
        yield found
    finally:
        found.lateen("cluster", "stop")


def _running(pod: Any) -> bool:
    return any("running" in c["state"] for c in pod["status"].get("containerStatuses") or ())


def _phase(pod: Any) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def test_containers_outlive_the_daemon_and_leave_nothing(rig: Rig) -> None:
    probe = {"readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}}
    limits = {"resources": {"limits": {"memory": "64Mi", "cpu": "200m"}}}
    web = "mkdir -p /www && echo hello > /www/index.html && exec busybox httpd -f -p 80 -h /www"
    rig.run("web", web, container=probe | limits)
    rig.run("short", "while test ! -e /go/now; do sleep 0.1; done; exit 7", restartPolicy="Never", **_go())
    rig.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    before = rig.until("short", _running), rig.pod("web")
    assert "/home/" not in rig.kubectl("exec", "web", "--", "ls", "/")
    assert rig.kubectl("exec", "web", "--", "ls", "/sys/class/net").split() == ["eth0", "lo"]
    assert rig.kubectl("exec", "web", "--", "id", "-u").strip() == "0"
    events = rig.kubectl("get", "events", "-o", "jsonpath={.items[*].message}")
    assert ("are not enforced" in events) is not ROOT
    pid = json.loads(rig.lateen("cluster", "status", "-o", "json"))["pid"]
    os.kill(pid, signal.SIGKILL)
    next(rig.folder.glob(f"nodes/node-0/pods/{before[0]['metadata']['uid']}/volumes/go")).joinpath("now").touch()
    time.sleep(0.5)
    rig.lateen("cluster", "start")
    ended = rig.until("short", _phase)["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")
    after = rig.until("web", _running)["status"]["containerStatuses"][0]
    assert after["containerID"] == before[1]["status"]["containerStatuses"][0]["containerID"]
    assert after["restartCount"] == 0
    assert "hello" in rig.kubectl("exec", "web", "--", "cat", "/www/index.html")
    rig.kubectl("delete", "pod", "web", "short", "--wait=true")
    _wait_until_nothing_is_left(rig)


def _go() -> dict[str, Any]:
    return {
        "volumes": [{"name": "go", "emptyDir": {}}],
        "container": {"volumeMounts": [{"name": "go", "mountPath": "/go"}]},
    }


def _wait_until_nothing_is_left(rig: Rig) -> None:
    node = rig.folder / "nodes/node-0"
    deadline = time.monotonic() + 5
    while left := [*node.glob("oci/*/*"), *node.glob("pods/*"), *_cgroups(rig)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _cgroups(rig: Rig) -> list[Path]:
    name = "lateen-" + hashlib.sha256(str(rig.folder / "nodes/node-0").encode()).hexdigest()[:12]
    return [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]


@pytest.mark.skipif(ROOT, reason="root may have any user")
def test_without_privileges_there_is_one_user(rig: Rig) -> None:
    rig.run("other", "id -u; sleep 60", container={"securityContext": {"runAsUser": 101}})
    rig.until("other", lambda p: p["status"]["phase"] == "Running")
    events = rig.kubectl("get", "events", "--field-selector", "involvedObject.name=other")
    assert "NotEnforced" in events and "user 101 is not there" in events


def test_network_sysctls_are_the_pods_own(rig: Rig) -> None:
    ours = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    wanted = {"sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "40000 50000"}]}
    rig.run("tuned", "cat /proc/sys/net/ipv4/ip_local_port_range; sleep 60", securityContext=wanted)
    rig.until("tuned", lambda p: p["status"]["phase"] == "Running")
    deadline = time.monotonic() + 5
    while not (said := rig.kubectl("logs", "tuned").split()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert said == ["40000", "50000"]
    assert Path("/proc/sys/net/ipv4/ip_local_port_range").read_text() == ours
