"""The Node object of this machine: capacity, conditions, addresses, facts. Used by ``agent``; reads the machine, writes nothing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from lateen.kube.meta import Object, timestamp

MAX_PODS = 500
KUBELET = "v1.37.0"
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
_PRESSURES = {
    "MemoryPressure": ("MemoryPressure", "True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def capacity(folder: Path) -> dict[str, str]:
    """cpu, memory, ephemeral-storage (of the disk that holds ``folder``) and pods."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    disk = shutil.disk_usage(folder).total
    cpus = len(os.sched_getaffinity(0))
    storage = {"ephemeral-storage": f"{disk // 1024}Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0"}
    return {"cpu": str(cpus), "memory": f"{memory // 1024}Ki", "pods": str(MAX_PODS), **storage}


def node_labels(name: str, runtime: str) -> dict[str, str]:
    """The labels every node has, and which runtime it runs pods with."""
    arch = _ARCHITECTURES.get(platform.machine(), platform.machine())
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": arch,
        "lateen.dev/runtime": runtime,
    }


def node_object(
    name: str, runtime: str, *, labels: Mapping[str, str] | None = None, taints: list[dict[str, str]] | None = None
) -> Object:
    """A Node to create."""
    spec: Object = {"taints": taints} if taints else {}
    metadata = {"name": name, "labels": node_labels(name, runtime) | dict(labels or {})}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}


def node_status(
    name: str,
    runtime: str,
    resources: Mapping[str, str],
    ip: str,
    now: datetime,
    *,
    old: Mapping[str, Any] | None = None,
    pressures: Collection[str] = (),
) -> Object:
    """A whole status, with the conditions in ``pressures`` true; each keeps its lastTransitionTime while its status stays."""
    since = {c["type"]: c for c in (old or {}).get("conditions") or ()}
    wanted = [_PRESSURES[c[0]] if c[0] in pressures else c for c in _CONDITIONS]
    conditions = [_condition(since.get(c[0]), c, timestamp(now)) for c in wanted]
    return {
        "capacity": dict(resources),
        "allocatable": dict(resources),
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        "nodeInfo": _info(runtime),
    }


def _condition(old: Mapping[str, Any] | None, new: tuple[str, str, str, str], now: str) -> dict[str, str]:
    kind, status, reason, message = new
    same = old is not None and old.get("status") == status
    since = str(old["lastTransitionTime"]) if old is not None and same else now
    times = {"lastHeartbeatTime": now, "lastTransitionTime": since}
    return {"type": kind, "status": status, "reason": reason, "message": message, **times}


def _info(runtime: str) -> dict[str, str]:
    return {
        "machineID": _read("/etc/machine-id"),
        "systemUUID": _read("/etc/machine-id"),
        "bootID": _read("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": _os_image(),
        "containerRuntimeVersion": f"lateen://{runtime}",
        "kubeletVersion": KUBELET,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def lease_object(name: str, now: str, uid: str) -> Object:
    """The node's heartbeat, in kube-node-lease."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease", "ownerReferences": [owner]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
    }
