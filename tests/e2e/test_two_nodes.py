"""Two real nodes on one machine: one loses power, its pods move to the other; then it comes back."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

KUBECTL = Path(sys.executable).with_name("kubectl")
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleepers}
spec:
  replicas: 4
  selector: {matchLabels: {app: sleepers}}
  template:
    metadata: {labels: {app: sleepers}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      containers: [{name: c, image: IMAGE, command: [sleep, "3600"]}]
"""

DAEMONS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: daemons}
spec:
  selector: {matchLabels: {app: daemons}}
  template:
    metadata: {labels: {app: daemons}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: IMAGE, command: [sleep, "3600"]}]
"""


class Cluster:
    def __init__(self, home: Path) -> None:
        self.home, self.env = home, {**os.environ, "LATEEN_HOME": str(home)}

    def lateen(self, *argv: str) -> str:
        done = subprocess.run([sys.executable, "-m", "lateen", *argv], env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kubectl(self, *argv: str, text: str = "") -> str:
        config = self.home / "clusters/default/kubeconfig"
        command = [str(KUBECTL), "--kubeconfig", str(config), *argv]
        return subprocess.run(command, input=text, check=True, capture_output=True, text=True, timeout=60).stdout

    def running(self, app: str = "sleepers") -> list[str]:
        """The nodes of the app's running, not terminating pods."""
        pods = json.loads(self.kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
        return [p["spec"]["nodeName"] for p in pods if "deletionTimestamp" not in p["metadata"] and ready(p)]


def ready(pod: Any) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"it did not happen in {seconds} s"
        time.sleep(0.2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path / "home")
    made.lateen("cluster", "start", "--nodes", "2", "--node-grace", "3")
    yield made
    made.lateen("cluster", "stop")


@pytest.mark.peer
@pytest.mark.timeout(120)
def test_pods_move_from_a_node_that_stops(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "run.txt").write_text("x")
    (tmp_path / "lateen.yaml").write_text(
        "apiVersion: lateen.dev/v1\nname: s\nservices:\n  s: {build: ./app, command: [sleep, '1']}\n"
    )
    image = json.loads(cluster.lateen("build", "-f", str(tmp_path / "lateen.yaml"), "-o", "json"))[0]["image"]
    cluster.kubectl("apply", "-f", "-", text=MANIFEST.replace("IMAGE", image))
    until(lambda: len(cluster.running()) == 4, 20)
    assert set(cluster.running()) == {"node-0", "node-1"}
    cluster.kubectl("apply", "-f", "-", text=DAEMONS.replace("IMAGE", image))
    cluster.kubectl("rollout", "status", "ds/daemons", "--timeout=20s")
    cluster.kubectl("set", "env", "ds/daemons", "VERSION=2")
    assert "successfully rolled out" in cluster.kubectl("rollout", "status", "ds/daemons", "--timeout=20s")
    assert sorted(cluster.running("daemons")) == ["node-0", "node-1"]
    cluster.lateen("cluster", "stop", "--node", "node-1")
    until(lambda: cluster.running() == ["node-0"] * 4, 40)
    assert "NotReady" in cluster.kubectl("get", "nodes", "node-1")
    cluster.lateen("cluster", "start", "--node", "node-1")
    until(lambda: "NotReady" not in cluster.kubectl("get", "nodes"), 20)
    cluster.kubectl("scale", "deployment", "sleepers", "--replicas", "8")
    until(lambda: len(cluster.running()) == 8 and "node-1" in cluster.running(), 20)
