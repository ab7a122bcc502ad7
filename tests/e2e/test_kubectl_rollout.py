"""kubectl's rollout verbs against a whole cluster on hollow nodes: what a person does with a Deployment."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from lateen.aio.clock import SystemClock
from lateen.cluster.boot import BootSettings, Cluster

pytestmark = pytest.mark.peer
KUBECTL = Path(sys.executable).parent / "kubectl"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{key: lateen.dev/fake, operator: Exists}]
      containers: [{name: c, image: "example/web:1"}]
"""


class Hollow:
    """A cluster with two hollow nodes on a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loop = uvloop.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - the test thread raises it
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        settings = BootSettings(
            name="rollout",
            folder=self.folder,
            images=self.folder / "images",
            socket=lambda name: self.folder / f"{name}.sock",
            slice=0,
            nodes=(),
            fake_nodes=2,
            durable=False,
        )
        cluster = Cluster(settings, SystemClock())
        try:
            await cluster.start_api()
            await cluster.start_nodes()
            self._ready.set()
            await self._stop.wait()
        finally:
            await cluster.stop()

    def kubectl(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        command = [str(KUBECTL), f"--kubeconfig={self.folder / 'kubeconfig'}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=40)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hollow]:
    found = Hollow(tmp_path_factory.mktemp("hollow"))
    yield found
    found.close()


def images(hollow: Hollow) -> set[str]:
    pods = json.loads(hollow.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    live = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
    return {c["image"] for p in live for c in p["spec"]["containers"]}


def test_a_deployment_through_its_life(hollow: Hollow) -> None:
    k = hollow.kubectl
    k("apply", "-f", "-", stdin=DEPLOYMENT)
    assert 'deployment "web" successfully rolled out' in k("rollout", "status", "deployment/web", "--timeout=20s")
    assert "4/4" in k("get", "deployment", "web")

    k("set", "image", "deployment/web", "c=example/web:2")
    k("rollout", "status", "deployment/web", "--timeout=20s")
    assert images(hollow) == {"example/web:2"}
    history = k("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["1", "2"]

    assert "rolled back" in k("rollout", "undo", "deployment/web")
    k("rollout", "status", "deployment/web", "--timeout=20s")
    assert images(hollow) == {"example/web:1"}
    history = k("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["2", "3"]

    k("rollout", "pause", "deployment/web")
    k("set", "image", "deployment/web", "c=example/web:3")
    k("scale", "deployment/web", "--replicas=6")
    k("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=6", "--timeout=20s")
    assert images(hollow) == {"example/web:1"}
    k("rollout", "resume", "deployment/web")
    k("rollout", "status", "deployment/web", "--timeout=20s")
    assert images(hollow) == {"example/web:3"}

    k("rollout", "restart", "deployment/web")
    k("rollout", "status", "deployment/web", "--timeout=20s")
    described = k("describe", "deployment", "web")
    assert "NewReplicaSetAvailable" in described
    assert "ScalingReplicaSet" in described

    k("delete", "deployment", "web", "--cascade=foreground", "--timeout=20s")
    assert "No resources found" in k("get", "pods,replicasets", "-l", "app=web")


def test_orphans_and_namespaces(hollow: Hollow) -> None:
    k = hollow.kubectl
    k("create", "namespace", "shop")
    k("apply", "-f", "-", stdin=DEPLOYMENT.replace("namespace: default", "namespace: shop"))
    k("rollout", "status", "deployment/web", "-n", "shop", "--timeout=20s")
    assert "kube-root-ca.crt" in k("get", "configmaps", "-n", "shop")
    k("expose", "deployment/web", "--port=80", "-n", "shop")
    k(
        "wait",
        "endpointslice",
        "-l",
        "kubernetes.io/service-name=web",
        "-n",
        "shop",
        "--for=jsonpath={.endpoints[3]}",
        "--timeout=20s",
    )
    k("delete", "deployment", "web", "-n", "shop", "--cascade=orphan")
    assert "4" in k("get", "replicasets", "-n", "shop", "-o", "jsonpath={.items[0].status.readyReplicas}")
    k("apply", "-f", "-", stdin=DEPLOYMENT.replace("namespace: default", "namespace: shop"))  # takes its set back
    k("rollout", "status", "deployment/web", "-n", "shop", "--timeout=20s")
    assert len(k("get", "replicasets", "-n", "shop", "-o", "name").split()) == 1
    k("delete", "namespace", "shop", "--timeout=20s")
    assert "NotFound" in k("get", "namespace", "shop", fails=True)
