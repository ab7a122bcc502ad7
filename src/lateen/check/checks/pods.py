"""What a pod shares with its node: namespaces, ports, paths, sockets; and what runs inside."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lateen.check.finding import Hit, Severity
from lateen.check.manifest import mapping, maps
from lateen.check.practice import on, standards, who
from lateen.check.registry import check
from lateen.check.workload import Container, Workload
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
SOCKETS = re.compile(r"/(docker|containerd|crio|cri-dockerd|podman|buildkitd|k3s/containerd/containerd)[\w./-]*\.sock$")
SENSITIVE = (
    "/",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/usr",
    "/var",
    "/var/lib",
    "/var/run",
)
_DEEP = ("/etc/kubernetes", "/var/lib/kubelet", "/var/lib/docker", "/var/lib/containerd", "/var/lib/etcd", "/etc/cni", "/root/.ssh")


def _host_namespace(world: World, key: str, say: str) -> Iterator[Hit]:
    for w in world.workloads:
        if w.pod.get(key) is True:
            yield Hit(w.manifest, w.path(key), say)


@check(
    "LT-SEC-015",
    "host PID namespace",
    ERROR,
    why="The pod sees, and as root can signal and read, every process of the node, environment and secrets included.",
    fix="remove hostPID",
)
def host_pid(world: World) -> Iterator[Hit]:
    return _host_namespace(world, "hostPID", "the pod shares the node's process namespace (hostPID)")


@check(
    "LT-SEC-016",
    "host IPC namespace",
    ERROR,
    why="The pod can read and write the shared memory of the node's processes.",
    fix="remove hostIPC",
)
def host_ipc(world: World) -> Iterator[Hit]:
    return _host_namespace(world, "hostIPC", "the pod shares the node's IPC namespace (hostIPC)")


@check(
    "LT-SEC-017",
    "host network",
    ERROR,
    why="The pod sees the node's traffic and local services, and no NetworkPolicy applies to it.",
    fix="remove hostNetwork; publish ports through a Service",
)
def host_network(world: World) -> Iterator[Hit]:
    return _host_namespace(world, "hostNetwork", "the pod uses the node's network (hostNetwork)")


@check(
    "LT-SEC-018",
    "host port",
    WARNING,
    why="A host port ties the pod to a node, allows one pod per node, and bypasses Services and policies.",
    fix="remove hostPort; publish the port through a Service",
)
def host_port(world: World) -> Iterator[Hit]:
    for workload, path, port in standards(world, "hostPorts"):
        if workload.pod.get("hostNetwork") is not True:  # there the host port is implied
            yield Hit(workload.manifest, path, f"{who(workload, path)} takes port {port} of the node")


def _host_paths(w: Workload) -> Iterator[tuple[int, str, str]]:
    """(index, name, path) of the hostPath volumes."""
    for i, volume in enumerate(w.volumes):
        path = mapping(volume.get("hostPath")).get("path")
        if path:
            yield i, str(volume.get("name")), str(path).rstrip("/") or "/"


def _mounted(w: Workload, volume: str) -> list[tuple[Container, int, bool]]:
    """(container, index of the mount, whether it is read-only) of a volume."""
    return [
        (c, i, m.get("readOnly") is True)
        for c in w.containers
        for i, m in enumerate(maps(c.data.get("volumeMounts")))
        if m.get("name") == volume
    ]


def _sensitive(path: str) -> bool:
    return path in SENSITIVE or path.startswith(_DEEP)


@check(
    "LT-SEC-019",
    "hostPath volume",
    WARNING,
    why="A hostPath ties the pod to a node's files: they differ between nodes, and are shared with everything else there.",
    fix="use a PersistentVolumeClaim, an emptyDir, a ConfigMap or a CSI volume",
)
def host_path(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for i, name, path in _host_paths(w):
            if not _sensitive(path) and not SOCKETS.search(path) and not _read_only_agent(w, name):
                yield Hit(w.manifest, w.path("volumes", i, "hostPath"), f'volume "{name}" mounts {path} of the node')


def _read_only_agent(w: Workload, volume: str) -> bool:
    """A DaemonSet that only reads: what agents of nodes are for."""
    return w.kind == "DaemonSet" and all(read_only for *_, read_only in _mounted(w, volume))


@check(
    "LT-SEC-020",
    "writable hostPath",
    WARNING,
    why="Files of the node that a pod can write are a way to run code on the node.",
    fix="set readOnly: true on the volumeMount, or use another volume",
)
def writable_host_path(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for _, name, path in _host_paths(w):
            for c, i, read_only in _mounted(w, name):
                if not read_only and not SOCKETS.search(path):
                    yield on(c, "volumeMounts", i, say=f"can write to {path} of the node")


@check(
    "LT-SEC-021",
    "sensitive directory of the node",
    ERROR,
    why="Directories such as /, /etc, /var/lib/kubelet or /proc hold the node's credentials and control its programs.",
    fix="mount nothing of them; a node agent mounts only the file it needs, read-only",
)
def sensitive_path(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for i, name, path in _host_paths(w):
            if _sensitive(path) and not _read_only_agent(w, name):
                yield Hit(w.manifest, w.path("volumes", i, "hostPath", "path"), f'volume "{name}" mounts {path} of the node')


@check(
    "LT-SEC-022",
    "container runtime socket",
    ERROR,
    why="Whoever can speak to the container runtime can start a privileged container: it is root on the node.",
    fix="remove the mount; build images with a rootless builder, read metrics from the kubelet",
)
def runtime_socket(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for i, name, path in _host_paths(w):
            if SOCKETS.search(path):
                at = w.path("volumes", i, "hostPath", "path")
                yield Hit(w.manifest, at, f'volume "{name}" mounts the runtime socket {path}')


@check(
    "LT-SEC-026",
    "volume type outside the restricted standard",
    WARNING,
    why="The restricted standard allows only volumes that reach nothing of the node; in-tree network volumes were removed.",
    fix="use a PersistentVolumeClaim or a CSI volume",
)
def volume_type(world: World) -> Iterator[Hit]:
    for workload, path, kind in standards(world, "restrictedVolumes"):
        if kind != "hostPath":
            yield Hit(workload.manifest, path, f"volume type {kind} is outside the restricted standard")


@check(
    "LT-SEC-027",
    "probe or hook with its own host",
    WARNING,
    why="The kubelet sends the request from the node: a host of one's choice makes it a way into the node's network.",
    fix="remove host; the pod's own address is used",
)
def probe_host(world: World) -> Iterator[Hit]:
    for workload, path, host in standards(world, "hostProbesAndHostLifecycle"):
        yield Hit(workload.manifest, path, f"{who(workload, path)} sends a probe or hook to the host {host}")


@check(
    "LT-SEC-028",
    "privileged container port",
    INFO,
    why="Ports below 1024 need root or a capability in many images.",
    fix="listen on a port of 1024 or above; the Service can still offer 80",
)
def low_port(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for i, port in enumerate(c.ports):
            number = port.get("containerPort")
            if isinstance(number, int) and number < 1024 and number != 22:
                yield on(c, "ports", i, "containerPort", say=f"listens on port {number}, below 1024")


@check(
    "LT-SEC-029",
    "SSH in a container",
    WARNING,
    why="A shell daemon in a pod goes round the cluster's access control and audit, and needs keys of its own.",
    fix="remove it; use kubectl exec or debug",
)
def ssh(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for i, port in enumerate(c.ports):
            if port.get("containerPort") == 22:
                yield on(c, "ports", i, "containerPort", say="offers SSH (port 22)")
        if any(w.rpartition("/")[2] == "sshd" for w in c.words()):
            yield on(c, "command", say="starts sshd")


@check(
    "LT-SEC-030",
    "sudo in the entry point",
    WARNING,
    why="sudo means that the container can become root, and needs privilege escalation to do so.",
    fix="run the program as its user; do what needs root in the image's build",
)
def sudo(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for key, i, word in c.arguments():
            if re.search(r"(^|[\s;&|/])sudo(\s|$)", word):
                yield on(c, key, i, say="calls sudo")


_FETCHED = re.compile(r"(curl|wget)\b[^|;&]*(https?:)[^|;&]*\|\s*(sudo\s+)?(ba|z|da)?sh\b")


@check(
    "LT-SEC-031",
    "downloads and runs code at start",
    WARNING,
    why="What runs is decided by a server at start time, not by the image: nobody reviewed or scanned it, and it can change.",
    fix="put the program into the image",
)
def fetched_code(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for key, i, word in c.arguments():
            if _FETCHED.search(word):
                yield on(c, key, i, say="downloads a script and runs it")


@check(
    "LT-SEC-032",
    "shared process namespace",
    INFO,
    why="Containers that share processes can read each other's environment, files and memory.",
    fix="remove shareProcessNamespace",
)
def shared_processes(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        if w.pod.get("shareProcessNamespace") is True and len(w.containers) > 1:
            yield Hit(w.manifest, w.path("shareProcessNamespace"), "the containers of the pod see each other's processes")
