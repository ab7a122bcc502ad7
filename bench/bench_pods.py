"""A hundred process pods behind two services: until all are ready; down to none, up again, the namespace deleted: what is left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import Figure
from bench.lateen import Lateen, lateen
from bench.left import asking, machine, objects

KUBECTL = Path(sys.executable).parent / "kubectl"
EACH = 50


def run() -> Iterator[Figure]:
    """busybox as a web server, a readiness probe each second."""
    if shutil.which("busybox") is None:
        print("  needs busybox")
        return
    with lateen() as it:
        file = _application(it.home)
        it.run("cluster", "start", "--runtime", "process")
        it.run("build", "-f", str(file))
        yield from _story(it, file)
        time.sleep(2)  # what a first application leaves for the next is there now: unpacked layers, folders
        before = _picture(it)
        for _ in _story(it, file):
            pass
        time.sleep(2)
        left = sorted(_picture(it) - before)
        yield Figure(name="left of them", value=len(left), unit="things", target=0, at_most=True, note=" ".join(left[:5]))


def _story(it: Lateen, file: Path) -> Iterator[Figure]:
    start = time.perf_counter()
    it.run("up", "-f", str(file))
    seconds = time.perf_counter() - start
    yield Figure(name=f"{2 * EACH} process pods, 2 services: ready", value=seconds, unit="s", target=6, at_most=True)
    start = time.perf_counter()
    _kubectl(it, "scale", "deployment", "--all", "--replicas=0")
    _gone(it)
    _kubectl(it, "scale", "deployment", "--all", f"--replicas={EACH}")
    for name in ("one", "two"):
        _kubectl(it, "wait", f"--for=jsonpath={{.status.readyReplicas}}={EACH}", f"deployment/{name}", "--timeout=60s")
    yield Figure(name="... to none and back", value=time.perf_counter() - start, unit="s")
    start = time.perf_counter()
    _kubectl(it, "delete", "namespace", "pods")
    yield Figure(name="... and the namespace deleted", value=time.perf_counter() - start, unit="s")


def _gone(it: Lateen) -> None:
    while json.loads(_kubectl(it, "get", "pods", "-o", "json"))["items"]:
        time.sleep(0.1)


def _application(home: Path) -> Path:
    (home / "app").mkdir(parents=True)
    (home / "app" / "index.html").write_text("ok\n")
    services: dict[str, Any] = {
        name: {
            "build": "./app",
            "command": ["busybox", "httpd", "-f", "-p", "8080", "-h", "/app"],
            "ports": {"http": 8080},
            "replicas": EACH,
            "resources": {"cpu": "5m", "memory": "8Mi"},
            "health": {"ready": "GET /index.html"},
        }
        for name in ("one", "two")
    }
    file = home / "pods.json"
    file.write_text(json.dumps({"apiVersion": "lateen.dev/v1", "name": "pods", "services": services}))
    return file


def _kubectl(it: Lateen, *argv: str) -> str:
    command = [str(KUBECTL), "--kubeconfig", str(it.home / "clusters/default/kubeconfig"), "-n", "pods", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _picture(it: Lateen) -> set[str]:
    """Everything there is: objects, and what the machine has of the cluster."""
    with asking(it.home / "clusters/default/kubeconfig") as get:
        return objects(get, gone="pods") | machine(it.home)
