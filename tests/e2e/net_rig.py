"""A cluster with a network of its own, started by the command line in a home of its own, and kubectl: for what pods reach."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from oci_images import layer

from lateen.images.layout import BASE_LABEL, ImageStore

KUBECTL = Path(sys.executable).parent / "kubectl"
IMAGE = "host:1"


class NetCluster:
    """``kubectl(...)``, ``lateen(...)``, and what processes in pods see."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "clusters/default"
        self.env = {**os.environ, "LATEEN_HOME": str(home), "KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": str(home)}
        self.env.pop("LATEEN_CLUSTER", None)

    def lateen(self, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lateen", *argv]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        done = subprocess.run(
            [str(KUBECTL), *argv], env=self.env, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, *objects: Any) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, *what: str) -> Any:
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def python(self, pod: str, code: str, *argv: str) -> str:
        """What ``code`` prints in the pod."""
        return self.kubectl("exec", pod, "--", sys.executable, "-c", code, *argv).strip()

    def ready(self, *pods: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", "--timeout=30s", *(f"pod/{p}" for p in pods))

    def process(self, name: str) -> int:
        """The pid of what the ``system`` shim owns under this name, 0 if there is nothing just now."""
        try:
            return int(json.loads((self.folder / f"system/processes/{name}.json").read_text())["pid"])
        except FileNotFoundError:
            return 0


def pod(name: str, code: str = "import time; time.sleep(1000)", *argv: str, labels: Any = None, **spec: Any) -> dict[str, Any]:
    """A pod that runs Python code."""
    container: dict[str, Any] = {"name": "main", "image": IMAGE, "command": [sys.executable, "-c", code, *argv]}
    container |= spec.pop("container", {})
    full = {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": full}


def service(name: str, *, ports: Any, selector: Any = None, **spec: Any) -> dict[str, Any]:
    """A Service."""
    full = {"ports": ports, **({"selector": selector} if selector else {}), **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": full}


@contextlib.contextmanager
def net_cluster(home: Path, *options: str) -> Iterator[NetCluster]:
    """Started; stopped at the end. Skips where the kernel allows no such network."""
    made = NetCluster(home)
    started = made.lateen("cluster", "start", "--network", "netns", *options)
    if "does not allow the network netns" in started.stderr:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    try:
        store = ImageStore(home / "images")
        descriptor, diff = layer(store, {"srv/hello": "hello"})
        config = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Labels": {BASE_LABEL: "host test"}}
        document = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": [diff]}}
        store.put_image(config=document, layers=[descriptor], names=[IMAGE])
        yield made
    finally:
        made.lateen("cluster", "stop")


def eventually(check: Callable[[], Any], seconds: float = 15.0) -> Any:
    """``check``'s first result that is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found
