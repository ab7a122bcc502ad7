"""The config.json of a container's bundle (OCI runtime specification), from what the pod, the image and the machine say. Pure.

Used by ``runtime``, which has made the folders and found the namespaces; crun or runc carry it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lateen.cluster.node.runtimes import oom
from lateen.cluster.node.runtimes.oci import cgroups, security
from lateen.cluster.node.runtimes.oci.seccomp import default_profile
from lateen.cluster.node.runtimes.oci.security import User
from lateen.cluster.node.seam import ContainerSpec, Mount
from lateen.cluster.node.sysctls import sysctls

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MASKED = str.split(
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi "
    "/proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware"
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_SAFE = ["nosuid", "noexec", "nodev"]
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
_NAMES = {"pid": "hostPID", "ipc": "hostIPC", "network": "hostNetwork"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the node is and allows. ``cgroup`` is '' where there is none for the container; ``swap``: see ``cgroups``."""

    uname: str = "x86_64"
    memory: int = 0
    unified: bool = False
    swap: bool = False
    rootless: bool = False
    least_oom_score: int = -1000  # what this user may give at the least
    bounding: int = -1  # the capabilities that this user may give, a bit each: the kernel's CapBnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the container lives. ``namespaces`` are the paths of those that exist already, by kind ('' : the host's); every
    other one is its own. ``base`` mounts come before the volumes."""

    root: Path
    cgroup: str
    hostname: str
    namespaces: Mapping[str, str] = field(default_factory=dict)
    base: Sequence[Mapping[str, Any]] = ()
    shared_memory: Path | None = None
    localhost_seccomp: Mapping[str, Any] | None = None


def config(spec: ContainerSpec, user: User, place: Place, machine: Machine) -> dict[str, Any]:
    """The whole config.json."""
    container = spec.container
    return {
        "ociVersion": "1.0.2",
        "process": _process(spec, user, machine),
        "root": {"path": str(place.root), "readonly": _read_only_root(container)},
        **({"hostname": place.hostname} if place.namespaces.get("uts") is None else {}),
        "mounts": [*_system_mounts(spec, place, machine), *place.base, *(_volume(m) for m in spec.mounts)],
        "annotations": {"dev.lateen.pod": spec.pod_uid, "dev.lateen.container": spec.name},
        "linux": _linux(spec, place, machine),
    }


def _read_only_root(container: Mapping[str, Any]) -> bool:
    return bool((container.get("securityContext") or {}).get("readOnlyRootFilesystem"))


def _process(spec: ContainerSpec, user: User, machine: Machine) -> dict[str, Any]:
    names = security.within(security.capabilities(spec.container), machine.bounding)
    env = {"PATH": _PATH, **({"TERM": "xterm"} if spec.terminal else {}), **spec.env}
    process = {
        "terminal": spec.terminal,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": [] if machine.rootless else list(user.groups)},
        "args": list(spec.argv),
        "env": [f"{k}={v}" for k, v in env.items()],
        "cwd": spec.cwd or "/",
        "capabilities": {"bounding": names, "effective": names, "permitted": names},
        "noNewPrivileges": security.no_new_privileges(spec.container),
    }
    wanted = oom.oom_score_adj(spec.pod, spec.container, machine.memory)
    process["oomScoreAdj"] = max(machine.least_oom_score, wanted)
    return process


def _linux(spec: ContainerSpec, place: Place, machine: Machine) -> dict[str, Any]:
    everything = security.privileged(spec.container)
    linux: dict[str, Any] = {"namespaces": _namespaces(place, machine), "rootfsPropagation": "rslave"}
    if place.cgroup:
        linux["cgroupsPath"] = place.cgroup
        linux["resources"] = cgroups.resources(spec.container, privileged=everything, unified=machine.unified, swap=machine.swap)
    if not everything and (spec.container.get("securityContext") or {}).get("procMount") != "Unmasked":
        linux |= {"maskedPaths": _MASKED, "readonlyPaths": list(_READ_ONLY)}
    if profile := _seccomp(spec, place, machine):
        linux["seccomp"] = profile
    own = {kind for kind in ("ipc", "network") if place.namespaces.get(kind) is None}
    if wanted := {k: v for k, v in sysctls(spec.pod).items() if k.startswith("kernel.") and "ipc" in own}:
        linux["sysctl"] = wanted
    return linux


def _namespaces(place: Place, machine: Machine) -> list[dict[str, str]]:
    found = []
    for kind in ("pid", "ipc", "uts", "network", "mount", *(("cgroup",) if machine.unified else ())):
        path = place.namespaces.get(kind)
        if path != "":
            found.append({"type": kind, **({"path": path} if path else {})})
    return found


def _seccomp(spec: ContainerSpec, place: Place, machine: Machine) -> Mapping[str, Any] | None:
    wanted = (security.context(spec.pod, spec.container).get("seccompProfile") or {}).get("type")
    if security.privileged(spec.container) or wanted == "Unconfined":
        return None
    if wanted == "Localhost":
        return place.localhost_seccomp
    return default_profile(security.capabilities(spec.container), machine.uname)


def _system_mounts(spec: ContainerSpec, place: Place, machine: Machine) -> list[dict[str, Any]]:
    """What every container has: /proc, /dev, /sys."""
    everything = security.privileged(spec.container)
    ours = "rw" if everything else "ro"
    pid_is_hosts, net_is_hosts = place.namespaces.get("pid") == "", place.namespaces.get("network") == ""
    mounts = [
        _bound("/proc", "/proc", ["rbind"]) if pid_is_hosts and machine.rootless else _fresh("/proc", "proc", _SAFE),
        _bound("/dev", "/dev", ["rbind"])
        if everything
        else _fresh("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _fresh("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *_tty_group(machine)]),
        _shared_memory(place),
        _fresh("/dev/mqueue", "mqueue", _SAFE),
        _bound("/sys", "/sys", ["rbind", "ro"]) if net_is_hosts and machine.rootless else _fresh("/sys", "sysfs", [*_SAFE, ours]),
    ]
    if place.cgroup:
        mounts.append(_fresh("/sys/fs/cgroup", "cgroup", [*_SAFE, "relatime", ours]))
    return [m for m in mounts if not (everything and m["destination"] in ("/dev/pts", "/dev/mqueue"))]


def _tty_group(machine: Machine) -> list[str]:
    return [] if machine.rootless else ["gid=5"]


def _shared_memory(place: Place) -> dict[str, Any]:
    if place.namespaces.get("ipc") == "":
        return _bound("/dev/shm", "/dev/shm", ["rbind"])  # noqa: S108 - the host's, because its IPC namespace is shared
    if place.shared_memory is not None:
        return _bound("/dev/shm", str(place.shared_memory), ["rbind", *_SAFE])  # noqa: S108 - the pod's
    return _fresh("/dev/shm", "tmpfs", [*_SAFE, "mode=1777", "size=65536k"])  # noqa: S108 - the container's own


def _fresh(target: str, kind: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bound(target: str, source: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": source, "options": list(options)}


def _volume(mount: Mount) -> dict[str, Any]:
    options = ["rbind", _PROPAGATION.get(mount.propagation, "rprivate"), "ro" if mount.read_only else "rw"]
    return _bound(mount.target, str(mount.source), options)


def bound(target: str, source: str, *, read_only: bool = True) -> dict[str, Any]:
    """A file or folder of the host in the container."""
    return _bound(target, source, ["rbind", "rprivate", "ro" if read_only else "rw"])


def host_namespaces(pod: Mapping[str, Any]) -> dict[str, str]:
    """The namespaces that the pod shares with the host: '' by kind."""
    spec = pod.get("spec") or {}
    found = {kind: "" for kind, name in _NAMES.items() if spec.get(name)}
    return found | ({"uts": ""} if "network" in found else {})
