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
        start = time.perf_counter()
        it.run("up", "-f", str(file))
        seconds = time.perf_counter() - start
        yield Figure(name=f"{2 * EACH} process pods, 2 services: ready", value=seconds, unit="s", target=6, at_most=True)
        start = time.perf_counter()
        for count in (0, EACH):
            _kubectl(it, "scale", "deployment", "--all", f"--replicas={count}")
            for name in ("one", "two"):
                _kubectl(
                    it, "wait", f"--for=jsonpath={{.status.replicas}}={count}", f"deployment/{name}", "--timeout=60s"
                ) if count else _gone(it)
        yield Figure(name="... to none and back", value=time.perf_counter() - start, unit="s")
        start = time.perf_counter()
        _kubectl(it, "delete", "namespace", "pods")
        yield Figure(name="... and the namespace deleted", value=time.perf_counter() - start, unit="s")
        time.sleep(2)
        left = _left(it)
        yield Figure(name="left of them", value=len(left), unit="things", target=0, at_most=True, note=" ".join(left[:5]))


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


def _left(it: Lateen) -> list[str]:
    """Objects, records, folders, mounts, network namespaces, cgroups and processes of the pods."""
    folder = it.home / "clusters/default"
    node = folder / "nodes/node-0"
    found = [*node.glob("pods/*"), *node.glob("shim/processes/*"), *(folder / "network/pods").glob("*")]
    found += list(Path("/sys/fs/cgroup").glob("**/lateen-*/pod*"))
    left = [str(p.relative_to("/")) for p in found]
    left += [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{it.home}/clusters" in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"httpd" in words and b"/app" in words:
            left.append(process.name)
    return left
