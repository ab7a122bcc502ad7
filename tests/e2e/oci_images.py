"""Images for containers, built from Debian's busybox-static, and what a machine needs to run them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lateen.images.layout import LAYER, Image, ImageStore

_APPLETS: tuple[str, ...] = (
    "cat",
    "chmod",
    "echo",
    "env",
    "grep",
    "hostname",
    "httpd",
    "id",
    "kill",
    "ls",
    "mkdir",
    "mknod",
    "nc",
    "ps",
    "sh",
    "sleep",
)
_APPLETS += ("stat", "tail", "test", "touch", "true", "wc", "dd", "mount", "ipcs", "unshare", "rm", "readlink", "awk", "head")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:web:/srv:/bin/sh\n"
GROUP = "root:x:0:\nweb:x:102:\nextra:x:103:web\n"


def need(*packages: str) -> None:
    """Install Debian packages when root, or skip with the reason."""
    programs = {"busybox-static": "busybox", "nginx-light": "nginx", "apache2-utils": "htpasswd"}
    missing = [p for p in packages if shutil.which(programs.get(p, p), path="/usr/bin:/bin:/usr/sbin:/sbin") is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"not installed: {', '.join(missing)} (apt-get install)")
    done = subprocess.run(
        ["apt-get", "install", "-y", "--no-install-recommends", *missing], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        subprocess.run(["apt-get", "update"], capture_output=True, check=False)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], capture_output=True, check=True)


def layer(
    store: ImageStore, files: Mapping[str, bytes | str], *, modes: Mapping[str, int] | None = None
) -> tuple[dict[str, Any], str]:
    """A layer of ``files`` (text beginning with ``->`` is a link): its descriptor and diff id."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mode = (modes or {}).get(name, 0o755)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(content, str) and content.startswith("->"):
                info.type, info.linkname = tarfile.SYMTYPE, content[2:]
                tar.addfile(info)
            else:
                data = content.encode() if isinstance(content, str) else content
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    data = gzip.compress(plain.getvalue(), 1, mtime=0)
    return {"mediaType": LAYER, **store.put_blob(data)}, "sha256:" + hashlib.sha256(plain.getvalue()).hexdigest()


def busybox(store: ImageStore, name: str, *more: Mapping[str, bytes | str], **config: Any) -> Image:
    """An image with busybox's usual commands, and layers of ``more``."""
    files: dict[str, bytes | str] = {
        "bin/busybox": Path("/bin/busybox").read_bytes(),
        "tmp/": "",
        "etc/passwd": PASSWD,
        "etc/group": GROUP,
    }
    files |= {f"bin/{applet}": "->busybox" for applet in _APPLETS}
    layers = [layer(store, content, modes={"tmp/": 0o1777}) for content in (files, *more)]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "1000"], **config},
        "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in layers]},
        "history": [{"created_by": "test"} for _ in layers],
    }
    return store.put_image(config=document, layers=[descriptor for descriptor, _ in layers], names=[name])


def program(path: str) -> dict[str, bytes | str]:
    """A program of this machine and the libraries that it needs, as files of a layer."""
    linked = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    files = [path, *(word for line in linked.splitlines() for word in line.split() if word.startswith("/"))]
    return {name.lstrip("/"): Path(name).read_bytes() for name in files}
