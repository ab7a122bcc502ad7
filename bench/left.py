"""What a story left behind: every object of every resource, and every process, namespace, mount, network link, cgroup and file of a
cluster. A picture is taken before and after; what is new is left.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

Get = Callable[[str], Any]
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
# What comes and goes by itself: heartbeats, what is said of nodes, and the journal of the database.
_RESTLESS = ("leases.coordination.k8s.io", "nodes.metrics.k8s.io", "pods.metrics.k8s.io")
_JOURNALS = ("-wal", "-shm", ".log", ".tmp")


@contextmanager
def asking(kubeconfig: Path) -> Iterator[Get]:
    """Get paths of the cluster of a kubeconfig, over one connection."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    connection = http.client.HTTPSConnection(urlsplit(cluster["server"]).netloc, context=context, timeout=30)

    def get(path: str) -> Any:
        connection.request("GET", path, headers={"Authorization": f"Bearer {user['token']}"})
        return json.loads(connection.getresponse().read())

    try:
        yield get
    finally:
        connection.close()


def objects(get: Get, *, gone: str = "") -> set[str]:
    """``resource namespace/name`` of everything that can be listed, over all versions' first; events only of ``gone``."""
    found: set[str] = set()
    for path, resource in _resources(get):
        if resource in _RESTLESS:
            continue
        for obj in get(path).get("items") or ():
            meta = obj["metadata"]
            if resource.partition(".")[0] != "events" or meta.get("namespace") == gone:
                found.add(f"{resource} {meta.get('namespace', '')}/{meta['name']}")
    return found


def _resources(get: Get) -> Iterator[tuple[str, str]]:
    """(path, name with group) of every resource that can be listed."""
    named = [(f"/apis/{g['preferredVersion']['groupVersion']}", f".{g['name']}") for g in get("/apis")["groups"]]
    for path, suffix in [("/api/v1", ""), *named]:
        for resource in get(path)["resources"]:
            if "list" in resource["verbs"] and "/" not in resource["name"]:
                yield f"{path}/{resource['name']}", f"{resource['name']}{suffix}"


def machine(home: Path) -> set[str]:
    """Processes of the cluster with its state in ``home``, their namespaces with the mounts and links in them, cgroups, files."""
    pids = _processes(str(home))
    found = {f"process {_command(pid)}" for pid in pids} | {f"processes {len(pids)}"}
    seen: set[str] = set()
    for pid in ("self", *map(str, pids)):
        for kind in _NAMESPACES:
            name = _link(Path("/proc", pid, "ns", kind))
            if name and name not in seen:
                seen.add(name)
                found |= {f"{kind} namespace {name}"} if pid != "self" else set()
                found |= {f"{kind} {name} {line}" for line in _inside(pid, kind, home)}
    return found | set(_cgroups(home)) | set(_files(home))


def _processes(home: str) -> list[int]:
    """Those whose command or environment speaks of ``home``, and all that they started."""
    parents: dict[int, int] = {}
    ours: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it ended, or is not ours to read: its parent tells
        if home.encode() in words:
            ours.add(int(process.name))
    while more := {pid for pid, parent in parents.items() if parent in ours and pid not in ours}:
        ours |= more
    return sorted(ours - {os.getpid(), os.getppid()})


def _command(pid: int) -> str:
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ').decode(errors='replace')[:120]}"
    except OSError:
        return f"{pid}"


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _inside(pid: str, kind: str, home: Path) -> list[str]:
    """The mounts that speak of the cluster, or the network links."""
    try:
        if kind == "mnt":
            mounts = Path("/proc", pid, "mountinfo").read_text().splitlines()
            return [f"mount {line.split()[4]}" for line in mounts if str(home) in line or "lateen" in line]
        if kind == "net":
            return [f"link {line.partition(':')[0].strip()}" for line in Path("/proc", pid, "net/dev").read_text().splitlines()[2:]]
    except OSError:
        pass
    return []


def _cgroups(home: Path) -> Iterator[str]:
    """Those of the cluster's nodes; their names are made of the node's folder."""
    for node in home.glob("clusters/*/nodes/*"):
        name = "lateen-" + hashlib.sha256(str(node).encode()).hexdigest()[:12]
        for root in Path("/sys/fs/cgroup").glob(name), Path("/sys/fs/cgroup").glob(f"*/{name}"):
            yield from (f"cgroup {child}" for top in root for child in (top, *top.glob("**/*/")))


def _files(home: Path) -> Iterator[str]:
    for folder, names, files in os.walk(home):
        for name in (*names, *files):
            if not name.endswith(_JOURNALS):
                yield f"file {folder}/{name}"
