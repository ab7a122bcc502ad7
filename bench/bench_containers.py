"""Real containers (crun, images of their own): from apply to the moment when all are Ready, asked from outside."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Figure
from bench.lateen import Lateen, lateen
from lateen.images.layout import LAYER, ImageStore

KUBECTL = Path(sys.executable).parent / "kubectl"
SIZES = ((5, 1.0), (40, 4.0))
BUSYBOX = Path("/bin/busybox")
_SCRIPT = "mkdir -p /www && echo ok > /www/index.html && exec busybox httpd -f -p 8080 -h /www"


def run() -> Iterator[Figure]:
    """A Deployment of so many replicas that answer HTTP probes each second; then away again."""
    if os.geteuid() != 0 or not BUSYBOX.exists() or not (shutil.which("crun") or shutil.which("runc")):
        print("  needs root, busybox-static and crun")
        return
    with lateen() as it:
        _put_image(ImageStore(it.home / "images"))
        it.run("cluster", "start", "--runtime", "oci")
        for count, target in SIZES:
            seconds = _apply(it, count)
            note = "readiness each second; from the start of kubectl apply"
            yield Figure(name=f"{count} containers ready", value=seconds, unit="s", target=target, at_most=True, note=note)
            yield Figure(name=f"{count} containers gone", value=_delete(it), unit="s")


def _apply(it: Lateen, count: int) -> float:
    start = time.perf_counter()
    _kubectl(it, "apply", "-f", "-", text=json.dumps(_deployment(count)))
    _kubectl(it, "wait", "--for=jsonpath={.status.readyReplicas}=" + str(count), "deployment/web", "--timeout=120s")
    return time.perf_counter() - start


def _delete(it: Lateen) -> float:
    start = time.perf_counter()
    _kubectl(it, "delete", "deployment", "web", "--cascade=foreground")
    return time.perf_counter() - start


def _kubectl(it: Lateen, *argv: str, text: str = "") -> str:
    config = str(it.home / "clusters/default/kubeconfig")
    return subprocess.run(
        [str(KUBECTL), "--kubeconfig", config, *argv], input=text, capture_output=True, text=True, check=True
    ).stdout


def _deployment(count: int) -> dict[str, object]:
    container = {
        "name": "web",
        "image": "bench/busybox",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", _SCRIPT],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    }
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": count, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }


def _put_image(store: ImageStore) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info = tarfile.TarInfo("bin/busybox")
        data = BUSYBOX.read_bytes()
        info.mode, info.size = 0o755, len(data)
        tar.addfile(info, io.BytesIO(data))
        for name in ("sh", "mkdir", "echo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    layer = {"mediaType": LAYER, **store.put_blob(gzip.compress(plain.getvalue(), 1, mtime=0))}
    diff = "sha256:" + hashlib.sha256(plain.getvalue()).hexdigest()
    config = {"os": "linux", "config": {"Env": ["PATH=/bin"]}, "rootfs": {"type": "layers", "diff_ids": [diff]}}
    store.put_image(config=config, layers=[layer], names=["bench/busybox"])
