"""Security contexts: what a container may do to the node and to itself (Pod Security Standards and beyond)."""

from __future__ import annotations

from collections.abc import Iterator

from lateen.check.finding import Edit, Hit, Severity
from lateen.check.manifest import mapping
from lateen.check.practice import container_at, hardened, on, slip, standards, usual, who
from lateen.check.registry import check
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
DANGEROUS = frozenset(
    [
        "ALL",
        "BPF",
        "DAC_READ_SEARCH",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "NET_ADMIN",
        "PERFMON",
        "SYSLOG",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_MODULE",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_TIME",
    ]
)


@check(
    "LT-SEC-001",
    "privileged container",
    ERROR,
    why="A privileged container is root on the node: whoever takes it over owns every other pod there.",
    fix="remove securityContext.privileged; add only the capability that is needed",
)
def privileged(world: World) -> Iterator[Hit]:
    for c in world.containers:
        if c.security.get("privileged") is True:
            yield on(c, "securityContext", "privileged", say="runs privileged")


@check(
    "LT-SEC-002",
    "privilege escalation allowed",
    WARNING,
    why="Without allowPrivilegeEscalation: false a setuid program inside the container can become root.",
    fix="set securityContext.allowPrivilegeEscalation: false",
)
def escalation(world: World) -> Iterator[Hit]:
    for workload, path, _ in standards(world, "allowPrivilegeEscalation"):
        c = container_at(workload, path)
        if c is not None and c.security.get("privileged") is not True:
            explicit = c.security.get("allowPrivilegeEscalation") is True
            say = "allows privilege escalation" if explicit else "does not forbid privilege escalation"
            edits = (Edit(path, False),)
            yield Hit(workload.manifest, path, f'container "{c.name}" {say}', WARNING if explicit else slip(c), edits)


@check(
    "LT-SEC-003",
    "may run as root",
    WARNING,
    why="Root in the container is root on the node after any escape, and may change every file of the image.",
    fix="set runAsNonRoot: true in the securityContext of the pod, and a user in the image",
)
def may_be_root(world: World) -> Iterator[Hit]:
    for workload, path, _ in standards(world, "runAsNonRoot"):
        c = container_at(workload, path)
        user = (c.security if c else {}).get("runAsUser", mapping(workload.pod.get("securityContext")).get("runAsUser"))
        if isinstance(user, int):
            continue  # a user other than 0 is no root, and 0 is LT-SEC-004
        explicit = path[-1] == "runAsNonRoot" and workload.manifest.at(*path) is False
        severity = WARNING if explicit or c is None else slip(c)
        say = "sets runAsNonRoot: false" if explicit else "may run as root: runAsNonRoot is not set"
        yield Hit(workload.manifest, path, f"{who(workload, path)} {say}", severity)


@check(
    "LT-SEC-004",
    "runs as user 0",
    ERROR,
    why="runAsUser: 0 makes the process root, whatever the image says.",
    fix="set runAsUser to the application's own user, or remove it and set runAsNonRoot: true",
)
def user_zero(world: World) -> Iterator[Hit]:
    for workload, path, _ in standards(world, "runAsUser"):
        yield Hit(workload.manifest, path, f"{who(workload, path)} runs as user 0 (root)")
    for w in world.workloads:
        pod = mapping(w.pod.get("securityContext"))
        for key in ("runAsGroup", "fsGroup"):
            if pod.get(key) == 0 and isinstance(pod[key], int):
                yield Hit(w.manifest, w.path("securityContext", key), f"the pod has {key} 0 (root's group)", WARNING)


@check(
    "LT-SEC-005",
    "low user or group id",
    INFO,
    why="Ids below 10000 are likely to exist on the node: after an escape the process has that user's rights.",
    fix="use a runAsUser and runAsGroup of at least 10000",
)
def low_ids(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for key in ("runAsUser", "runAsGroup"):
            value = c.security.get(key)
            if isinstance(value, int) and 0 < value < 10000:
                yield on(c, "securityContext", key, say=f"has {key} {value}, below 10000")
    for w in world.workloads:
        for key in ("runAsUser", "runAsGroup"):
            value = mapping(w.pod.get("securityContext")).get(key)
            if isinstance(value, int) and 0 < value < 10000:
                yield Hit(w.manifest, w.path("securityContext", key), f"the pod has {key} {value}, below 10000")


@check(
    "LT-SEC-006",
    "root filesystem is writable",
    WARNING,
    why="Who breaks in can replace the program and stay; with a read-only root filesystem they cannot.",
    fix="set securityContext.readOnlyRootFilesystem: true and mount an emptyDir where the program writes",
)
def writable_root(world: World) -> Iterator[Hit]:
    common = usual(world.containers, lambda c: c.security.get("readOnlyRootFilesystem") is True)
    for c in world.containers:
        value = c.security.get("readOnlyRootFilesystem")
        if value is False:
            yield on(c, "securityContext", "readOnlyRootFilesystem", say="has a writable root filesystem")
        elif value is None:
            say = "does not make its root filesystem read-only" + (" as the others do" if common else "")
            yield on(c, "securityContext", "readOnlyRootFilesystem", say=say, severity=WARNING if common else INFO)


@check(
    "LT-SEC-007",
    "capabilities not dropped",
    WARNING,
    why="The default capabilities let a process change owners, bypass file permissions and forge packets; few programs need any.",
    fix='set securityContext.capabilities.drop: ["ALL"] and add back what is needed',
)
def drop_all(world: World) -> Iterator[Hit]:
    for c in world.containers:
        dropped = [str(d).upper() for d in c.at("securityContext", "capabilities", "drop") or ()]
        if "ALL" not in dropped and c.security.get("privileged") is not True:
            yield on(c, "securityContext", "capabilities", "drop", say="does not drop all capabilities", severity=slip(c))


@check(
    "LT-SEC-008",
    "NET_RAW kept",
    INFO,
    why="NET_RAW allows forged packets: ARP and DNS spoofing of the neighbours.",
    fix="drop NET_RAW, better ALL",
)
def net_raw(world: World) -> Iterator[Hit]:
    for c in world.containers:
        dropped = [str(d).upper() for d in c.at("securityContext", "capabilities", "drop") or ()]
        added = [str(d).upper() for d in c.at("securityContext", "capabilities", "add") or ()]
        if "NET_RAW" in added:
            yield on(c, "securityContext", "capabilities", "add", say="adds the capability NET_RAW", severity=WARNING)
        elif dropped and "ALL" not in dropped and "NET_RAW" not in dropped:
            yield on(c, "securityContext", "capabilities", "drop", say="keeps the capability NET_RAW")


@check(
    "LT-SEC-009",
    "dangerous capability",
    ERROR,
    why="Capabilities such as SYS_ADMIN, SYS_MODULE, NET_ADMIN or SYS_PTRACE amount to control of the node or of its network.",
    fix="remove the capability; give the work to a component that is trusted with it",
)
def dangerous_capability(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for i, name in enumerate(c.at("securityContext", "capabilities", "add") or ()):
            if str(name).upper().removeprefix("CAP_") in DANGEROUS:
                yield on(c, "securityContext", "capabilities", "add", i, say=f"adds the dangerous capability {name}")


@check(
    "LT-SEC-010",
    "capability outside the baseline",
    WARNING,
    why="The baseline standard allows only the default capabilities to be added.",
    fix="remove the capability",
)
def other_capability(world: World) -> Iterator[Hit]:
    for workload, path, name in standards(world, "capabilities_restricted"):
        if "add" in path and name.upper().removeprefix("CAP_") not in (*DANGEROUS, "NET_RAW"):
            yield Hit(workload.manifest, path, f"{who(workload, path)} adds the capability {name}")


@check(
    "LT-SEC-011",
    "seccomp profile missing or off",
    WARNING,
    why="Without seccomp a container can call every system call of the kernel, and so every bug in one.",
    fix="set seccompProfile.type: RuntimeDefault in the securityContext of the pod",
)
def seccomp(world: World) -> Iterator[Hit]:
    for workload, path, what in standards(world, "seccompProfile_restricted"):
        if path[-1] == "type":
            yield Hit(workload.manifest, path, f"{who(workload, path)} sets the seccomp profile {what}", ERROR)
            continue
        c = container_at(workload, path)
        common = usual(world.workloads, lambda w: bool(mapping(w.pod.get("securityContext")).get("seccompProfile")))
        severity = WARNING if common and c is not None and hardened(c) else INFO
        edits = (Edit(path, {"type": "RuntimeDefault"}),)
        yield Hit(workload.manifest, path, f"{who(workload, path)} has no seccomp profile", severity, edits)


@check(
    "LT-SEC-012",
    "AppArmor profile off",
    WARNING,
    why="An unconfined AppArmor profile removes a layer that the node's system provides by default.",
    fix="use RuntimeDefault or a Localhost profile, or leave it out",
)
def apparmor(world: World) -> Iterator[Hit]:
    for workload, path, what in standards(world, "appArmorProfile"):
        yield Hit(workload.manifest, path, f"{who(workload, path)} sets the AppArmor profile {what}")


@check(
    "LT-SEC-013",
    "custom SELinux options",
    WARNING,
    why="A custom SELinux user, role or type can free a container from the policy that confines it.",
    fix="remove user and role; use one of the container types, or leave seLinuxOptions out",
)
def selinux(world: World) -> Iterator[Hit]:
    for workload, path, what in standards(world, "seLinuxOptions"):
        yield Hit(workload.manifest, path, f"{who(workload, path)} sets the SELinux {path[-1]} {what}")


@check(
    "LT-SEC-014",
    "container is not restricted at all",
    WARNING,
    why="With no securityContext a container may run as root, gain privileges, use all default capabilities and every system call.",
    fix="set runAsNonRoot, allowPrivilegeEscalation: false, capabilities.drop: [ALL] and seccompProfile: RuntimeDefault",
)
def unrestricted(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        bare = [c for c in w.containers if not hardened(c) and c.security.get("privileged") is not True]
        if bare:
            names = ", ".join(f'"{c.name}"' for c in bare)
            noun = "container" if len(bare) == 1 else "containers"
            say = f"{noun} {names}: no security context (may run as root, gain privileges, use the default capabilities)"
            yield Hit(w.manifest, (*bare[0].path, "securityContext"), say)


@check(
    "LT-SEC-023",
    "procMount not default",
    ERROR,
    why="An unmasked /proc shows the kernel's internals to the container, and some of them are writable.",
    fix="remove procMount, or run the pod in a user namespace (hostUsers: false)",
)
def proc_mount(world: World) -> Iterator[Hit]:
    for workload, path, what in standards(world, "procMount"):
        yield Hit(workload.manifest, path, f"{who(workload, path)} sets procMount {what}")


@check(
    "LT-SEC-024",
    "unsafe sysctl",
    ERROR,
    why="Sysctls outside the safe list change the kernel for other pods, or weaken it.",
    fix="remove the sysctl, or set it on the node",
)
def unsafe_sysctl(world: World) -> Iterator[Hit]:
    for workload, path, name in standards(world, "sysctls"):
        yield Hit(workload.manifest, path, f"the pod sets the unsafe sysctl {name}")


@check(
    "LT-SEC-025",
    "Windows host process",
    ERROR,
    why="A host process container runs directly on the Windows node with its rights.",
    fix="remove windowsOptions.hostProcess",
)
def host_process(world: World) -> Iterator[Hit]:
    for workload, path, _ in standards(world, "windowsHostProcess"):
        yield Hit(workload.manifest, path, f"{who(workload, path)} runs as a Windows host process")
