"""What a container may be and do, from pod, container and image: user, groups, capabilities, the rest of securityContext. Pure.

Used by ``bundle``. ConfigError is what the kubelet calls CreateContainerConfigError, in its words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.cluster.node.environment import ConfigError
from lateen.kube.meta import Object, meta, uid_of

DEFAULT_CAPABILITIES = str.split(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
)
ALL_CAPABILITIES = str.split(  # in the order of their numbers, from 0
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST "
    "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM "
    "BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
_OF_BOTH = ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile")  # the container's value goes before the pod's


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The image's /etc/passwd and /etc/group, as text."""

    passwd: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Whom the container's first process runs as."""

    uid: int
    gid: int
    groups: Sequence[int] = ()


def pod_context(pod: Object) -> Mapping[str, Any]:
    """The pod's securityContext."""
    found: Mapping[str, Any] = (pod.get("spec") or {}).get("securityContext") or {}
    return found


def context(pod: Object, container: Mapping[str, Any]) -> dict[str, Any]:
    """The container's securityContext, with what it takes from the pod's."""
    inherited = {k: v for k, v in pod_context(pod).items() if k in _OF_BOTH and v is not None}
    return {**inherited, **{k: v for k, v in (container.get("securityContext") or {}).items() if v is not None}}


def user(pod: Object, container: Mapping[str, Any], image_user: str, accounts: Accounts) -> User:
    """Pod and container decide, then the image. ConfigError when runAsNonRoot forbids it, or the image names nobody."""
    wanted = context(pod, container)
    name, _, group = image_user.partition(":")
    _check_non_root(wanted, name, f'(pod: "{_full_name(pod)}", container: {container["name"]})')
    if wanted.get("runAsUser") is not None:
        uid, group = int(wanted["runAsUser"]), ""
        entry = _entry(accounts.passwd, 2, str(uid))
    else:
        entry = _entry(accounts.passwd, 2 if name.isdigit() else 0, name or "0")
        uid = int(name) if name.isdigit() else int(entry[2]) if entry else 0
        if entry is None and name and not name.isdigit() and name != "root":
            raise ConfigError(f"unable to find user {name}: no matching entries in passwd file")
    if wanted.get("runAsGroup") is not None:
        gid = int(wanted["runAsGroup"])
    else:
        gid = _group(group, accounts) if group else int(entry[3]) if entry else 0
    return User(uid=uid, gid=gid, groups=_groups(pod, accounts, entry[0] if entry else "", gid))


def _check_non_root(wanted: Mapping[str, Any], image_user: str, where: str) -> None:
    if not wanted.get("runAsNonRoot"):
        return
    if wanted.get("runAsUser") is not None:
        if int(wanted["runAsUser"]) == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image_user in ("", "0", "root"):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not image_user.isdigit():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), cannot verify user is non-root {where}"
        )


def _full_name(pod: Object) -> str:
    return f"{meta(pod).get('name')}_{meta(pod).get('namespace')}({uid_of(pod)})"


def _groups(pod: Object, accounts: Accounts, name: str, gid: int) -> tuple[int, ...]:
    ours = pod_context(pod)
    found = [int(g) for g in ours.get("supplementalGroups") or ()]
    if ours.get("fsGroup") is not None:
        found.append(int(ours["fsGroup"]))
    if ours.get("supplementalGroupsPolicy") != "Strict" and name:
        found += [int(g[2]) for g in _entries(accounts.group) if len(g) > 3 and name in g[3].split(",") and g[2].isdigit()]
    return tuple(g for g in dict.fromkeys(found) if g != gid)


def _group(wanted: str, accounts: Accounts) -> int:
    if wanted.isdigit():
        return int(wanted)
    entry = _entry(accounts.group, 0, wanted)
    if entry is None:
        raise ConfigError(f"unable to find group {wanted}: no matching entries in group file")
    return int(entry[2])


def _entry(text: str, column: int, value: str) -> list[str] | None:
    return next((e for e in _entries(text) if len(e) > 3 and e[column] == value and e[2].isdigit()), None)


def _entries(text: str) -> list[list[str]]:
    return [line.split(":") for line in text.splitlines() if not line.startswith("#")]


def privileged(container: Mapping[str, Any]) -> bool:
    """Whether the container has every right on the machine."""
    return bool((container.get("securityContext") or {}).get("privileged"))


def capabilities(container: Mapping[str, Any]) -> list[str]:
    """CAP_* names, sorted: the default set, with what is added and dropped."""
    if privileged(container):
        return sorted(f"CAP_{c}" for c in ALL_CAPABILITIES)
    changes = (container.get("securityContext") or {}).get("capabilities") or {}
    add, drop = _names(changes.get("add")), _names(changes.get("drop"))
    base = set(ALL_CAPABILITIES) if "ALL" in add else set() if "ALL" in drop else set(DEFAULT_CAPABILITIES)
    return sorted(f"CAP_{c}" for c in (base | (add - {"ALL"})) - (drop - {"ALL"}) if c in ALL_CAPABILITIES)


def within(names: Iterable[str], bounding: int) -> list[str]:
    """Those of ``names`` that the mask ``bounding`` (the kernel's CapBnd) lets be given."""
    return [name for name in names if bounding >> ALL_CAPABILITIES.index(name.removeprefix("CAP_")) & 1]


def _names(given: Iterable[str] | None) -> set[str]:
    return {name.upper().removeprefix("CAP_") for name in given or ()}


def no_new_privileges(container: Mapping[str, Any]) -> bool:
    """Whether setuid programs give nothing."""
    return (container.get("securityContext") or {}).get("allowPrivilegeEscalation") is False
