"""The Pod Security Standards: what of a pod breaks ``baseline`` or ``restricted``, in the words of Kubernetes' own admission.

One function per control, at the latest version of the standards. Pure. ``check`` reports each place; the API server's admission
joins ``reason (detail)`` of the violations into its message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Level = Literal["privileged", "baseline", "restricted"]
Path: TypeAlias = tuple[str | int, ...]
Spot = tuple[Path, str]
"""A place below the pod (``spec...`` or ``metadata...``), and the offending value or name there."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One control that the pod breaks. ``spots`` are the places; a missing field is placed where it should be."""

    control: str
    reason: str
    detail: str
    spots: tuple[Spot, ...]

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


@dataclass(frozen=True, slots=True)
class _Container:
    name: str
    path: Path
    data: Mapping[str, Any]

    @property
    def context(self) -> Mapping[str, Any]:
        return self.data.get("securityContext") or {}


@dataclass(frozen=True, slots=True)
class _Pod:
    spec: Mapping[str, Any]
    annotations: Mapping[str, str]
    containers: tuple[_Container, ...] = field(default=())

    @property
    def context(self) -> Mapping[str, Any]:
        return self.spec.get("securityContext") or {}

    @property
    def windows(self) -> bool:
        return (self.spec.get("os") or {}).get("name") == "windows"

    @property
    def own_users(self) -> bool:
        """In a user namespace root inside is nobody outside."""
        return self.spec.get("hostUsers") is False


Control = Callable[[_Pod], Iterator[Violation]]
_CONTEXT: Path = ("spec", "securityContext")


def evaluate(level: Level, spec: Mapping[str, Any], annotations: Mapping[str, str] | None = None) -> list[Violation]:
    """Every control of ``level`` that a pod with this spec breaks, in the order of the standards."""
    if level == "privileged":
        return []
    pod = _Pod(spec, annotations or {}, tuple(_containers(spec)))
    controls = _BASELINE if level == "baseline" else (*_KEPT, *_RESTRICTED)
    return [v for control in controls for v in control(pod)]


def message(level: Level, violations: Iterable[Violation]) -> str:
    """What admission says: ``violates PodSecurity "restricted:latest": ...``."""
    return f'violates PodSecurity "{level}:latest": {", ".join(str(v) for v in violations)}'


def _containers(spec: Mapping[str, Any]) -> Iterator[_Container]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for i, data in enumerate(spec.get(kind) or ()):
            if isinstance(data, Mapping):
                yield _Container(str(data.get("name", "")), ("spec", kind, i), data)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{n}"' for n in names)


def _named(noun: str, names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    return f"{noun}{'s' if len(found) != 1 else ''} {_quoted(found)}"


def _setters(pod: _Pod, found: list[tuple[_Container | None, str]]) -> str:
    """``pod and container "a"``: who set something."""
    names = [c.name for c, _ in found if c is not None]
    parts = ["pod"] if any(c is None for c, _ in found) else []
    return " and ".join([*parts, *([_named("container", names)] if names else [])])


def _contexts(pod: _Pod) -> Iterator[tuple[_Container | None, Path, Mapping[str, Any]]]:
    """The pod's security context, then the containers'."""
    yield None, _CONTEXT, pod.context
    for c in pod.containers:
        yield c, (*c.path, "securityContext"), c.context


def _in_contexts(pod: _Pod, *keys: str, bad: Callable[[Any], bool]) -> tuple[list[tuple[_Container | None, str]], list[Spot]]:
    """Who has a ``bad`` value at ``keys`` of a security context, and where."""
    found: list[tuple[_Container | None, str]] = []
    spots: list[Spot] = []
    for container, path, context in _contexts(pod):
        value = _deep(context, keys)
        if value is not None and bad(value):
            found.append((container, str(value)))
            spots.append(((*path, *keys), str(value)))
    return found, spots


def _deep(data: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data


# -- baseline ------------------------------------------------------------------------------------------------------------


def _privileged(pod: _Pod) -> Iterator[Violation]:
    bad = [c for c in pod.containers if c.context.get("privileged") is True]
    if bad:
        spots = tuple(((*c.path, "securityContext", "privileged"), c.name) for c in bad)
        detail = f"{_named('container', (c.name for c in bad))} must not set securityContext.privileged=true"
        yield Violation("privileged", "privileged", detail, spots)


def _host_namespaces(pod: _Pod) -> Iterator[Violation]:
    bad = [n for n in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(n) is True]
    if bad:
        spots = tuple((("spec", n), n) for n in bad)
        yield Violation("hostNamespaces", "host namespaces", ", ".join(f"{n}=true" for n in bad), spots)


def _host_ports(pod: _Pod) -> Iterator[Violation]:
    spots: list[Spot] = []
    names = []
    for c in pod.containers:
        for i, port in enumerate(c.data.get("ports") or ()):
            if port.get("hostPort"):
                spots.append(((*c.path, "ports", i, "hostPort"), str(port["hostPort"])))
                names.append(c.name)
    if spots:
        several = len(set(names)) > 1
        ports = sorted({s for _, s in spots})
        verb = f"use{'' if several else 's'} hostPort{'s' if len(ports) > 1 else ''}"
        yield Violation("hostPorts", "hostPort", f"{_named('container', names)} {verb} {', '.join(ports)}", tuple(spots))


def _host_paths(pod: _Pod) -> Iterator[Violation]:
    bad = [(i, v) for i, v in enumerate(pod.spec.get("volumes") or ()) if v.get("hostPath") is not None]
    if bad:
        spots = tuple((("spec", "volumes", i, "hostPath"), str(v.get("name"))) for i, v in bad)
        yield Violation("hostPathVolumes", "hostPath volumes", _named("volume", (str(v.get("name")) for _, v in bad)), spots)


_DEFAULT_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)


def _added(pod: _Pod, allowed: frozenset[str]) -> tuple[list[str], list[str], list[Spot]]:
    names: list[str] = []
    values: list[str] = []
    spots: list[Spot] = []
    for c in pod.containers:
        for i, capability in enumerate(_deep(c.context, ("capabilities", "add")) or ()):
            if capability not in allowed:
                names.append(c.name)
                values.append(str(capability))
                spots.append(((*c.path, "securityContext", "capabilities", "add", i), str(capability)))
    return names, values, spots


def _capabilities_baseline(pod: _Pod) -> Iterator[Violation]:
    names, values, spots = _added(pod, _DEFAULT_CAPABILITIES)
    if spots:
        what = _quoted(sorted(set(values)))
        detail = f"{_named('container', names)} must not include {what} in securityContext.capabilities.add"
        yield Violation("capabilities_baseline", "non-default capabilities", detail, tuple(spots))


_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def _app_armor(pod: _Pod) -> Iterator[Violation]:
    found, spots = _in_contexts(pod, "appArmorProfile", "type", bad=lambda v: v not in ("RuntimeDefault", "Localhost"))
    details = []
    if found:
        types = _quoted(sorted({v for _, v in found}))
        details.append(f"{_setters(pod, found)} must not set AppArmor profile type to {types}")
    old = {
        k: v
        for k, v in pod.annotations.items()
        if k.startswith(_APPARMOR) and v not in ("", "runtime/default") and not str(v).startswith("localhost/")
    }
    if old:
        many = "s" if len(old) > 1 else ""
        details.append(f"annotation{many} {', '.join(f'{k}={chr(34)}{v}{chr(34)}' for k, v in sorted(old.items()))}")
        spots += [(("metadata", "annotations", k), v) for k, v in old.items()]
    if details:
        many = "s" if len(spots) > 1 else ""
        yield Violation("appArmorProfile", f"forbidden AppArmor profile{many}", ", ".join(details), tuple(spots))


_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def _selinux(pod: _Pod) -> Iterator[Violation]:
    types, type_spots = _in_contexts(pod, "seLinuxOptions", "type", bad=lambda v: v not in _SELINUX_TYPES)
    users, user_spots = _in_contexts(pod, "seLinuxOptions", "user", bad=bool)
    roles, role_spots = _in_contexts(pod, "seLinuxOptions", "role", bad=bool)
    parts = [f"type{'s' if len({v for _, v in types}) > 1 else ''} {_quoted(sorted({v for _, v in types}))}"] if types else []
    parts += ["user may not be set"] if users else []
    parts += ["role may not be set"] if roles else []
    if parts:
        who = _setters(pod, [*types, *users, *roles])
        detail = f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(parts)}"
        yield Violation("seLinuxOptions", "seLinuxOptions", detail, (*type_spots, *user_spots, *role_spots))


def _proc_mount(pod: _Pod) -> Iterator[Violation]:
    if pod.own_users:
        return
    bad = [(c, str(v)) for c in pod.containers if (v := c.context.get("procMount")) not in (None, "", "Default")]
    if bad:
        spots = tuple(((*c.path, "securityContext", "procMount"), v) for c, v in bad)
        what = _quoted(sorted({v for _, v in bad}))
        detail = f"{_named('container', (c.name for c, _ in bad))} must not set securityContext.procMount to {what}"
        yield Violation("procMount", "procMount", detail, spots)


def _seccomp_baseline(pod: _Pod) -> Iterator[Violation]:
    found, spots = _in_contexts(pod, "seccompProfile", "type", bad=lambda v: v not in ("RuntimeDefault", "Localhost"))
    if found:
        types = _quoted(sorted({v for _, v in found}))
        detail = f"{_setters(pod, found)} must not set securityContext.seccompProfile.type to {types}"
        yield Violation("seccompProfile_baseline", "seccompProfile", detail, tuple(spots))


SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)


def _sysctls(pod: _Pod) -> Iterator[Violation]:
    bad = [(i, str(s.get("name"))) for i, s in enumerate(pod.context.get("sysctls") or ()) if s.get("name") not in SAFE_SYSCTLS]
    if bad:
        spots = tuple(((*_CONTEXT, "sysctls", i, "name"), name) for i, name in bad)
        yield Violation("sysctls", "forbidden sysctls", ", ".join(name for _, name in bad), spots)


def _windows_host_process(pod: _Pod) -> Iterator[Violation]:
    found, spots = _in_contexts(pod, "windowsOptions", "hostProcess", bad=lambda v: v is True)
    if found:
        detail = f"{_setters(pod, found)} must not set securityContext.windowsOptions.hostProcess=true"
        yield Violation("windowsHostProcess", "hostProcess", detail, tuple(spots))


_HANDLERS = (
    ("livenessProbe",),
    ("readinessProbe",),
    ("startupProbe",),
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
)


def _probe_hosts(pod: _Pod) -> Iterator[Violation]:
    spots: list[Spot] = []
    names = []
    for c in pod.containers:
        for keys in ((*h, action, "host") for h in _HANDLERS for action in ("httpGet", "tcpSocket")):
            if host := _deep(c.data, keys):
                names.append(c.name)
                spots.append(((*c.path, *keys), str(host)))
    if spots:
        several = "" if len(set(names)) > 1 else "s"
        hosts = _quoted(sorted({h for _, h in spots}))
        noun = "hosts" if len({h for _, h in spots}) > 1 else "host"
        detail = f"{_named('container', names)} use{several} probe or lifecycle {noun} {hosts}"
        yield Violation("hostProbesAndHostLifecycle", "probe or lifecycle host", detail, tuple(spots))


# -- restricted ----------------------------------------------------------------------------------------------------------

_RESTRICTED_VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
)


def _volume_types(pod: _Pod) -> Iterator[Violation]:
    bad = []
    for i, volume in enumerate(pod.spec.get("volumes") or ()):
        kinds = [k for k, v in volume.items() if k != "name" and v is not None]
        if kinds and not any(k in _RESTRICTED_VOLUMES for k in kinds):
            bad.append((i, str(volume.get("name")), kinds[0]))
    if bad:
        types = sorted({kind for _, _, kind in bad})
        verb = "uses" if len(bad) == 1 else "use"
        noun = f"restricted volume type{'s' if len(types) > 1 else ''}"
        detail = f"{_named('volume', (n for _, n, _ in bad))} {verb} {noun} {_quoted(types)}"
        yield Violation(
            "restrictedVolumes", "restricted volume types", detail, tuple((("spec", "volumes", i, k), k) for i, _, k in bad)
        )


def _privilege_escalation(pod: _Pod) -> Iterator[Violation]:
    bad = [c for c in pod.containers if c.context.get("allowPrivilegeEscalation") is not False]
    if bad and not pod.windows:
        spots = tuple(((*c.path, "securityContext", "allowPrivilegeEscalation"), c.name) for c in bad)
        detail = f"{_named('container', (c.name for c in bad))} must set securityContext.allowPrivilegeEscalation=false"
        yield Violation("allowPrivilegeEscalation", "allowPrivilegeEscalation != false", detail, spots)


def _non_root(pod: _Pod) -> Iterator[Violation]:
    if pod.own_users:
        return
    explicit = [c for c in pod.containers if c.context.get("runAsNonRoot") is False]
    unset = [c for c in pod.containers if c.context.get("runAsNonRoot") is None]
    whole = pod.context.get("runAsNonRoot")
    details = []
    if explicit or whole is False:
        who = [(None, "")] if whole is False else []
        details.append(f"{_setters(pod, [*who, *((c, '') for c in explicit)])} must not set securityContext.runAsNonRoot=false")
    if unset and whole is None:
        details.append(f"pod or {_named('container', (c.name for c in unset))} must set securityContext.runAsNonRoot=true")
    if details:
        bad = [*explicit, *(unset if whole is None else ())]
        spots: list[Spot] = [((*_CONTEXT, "runAsNonRoot"), "pod")] if whole is False else []
        spots += [((*c.path, "securityContext", "runAsNonRoot"), c.name) for c in bad]
        yield Violation("runAsNonRoot", "runAsNonRoot != true", "; ".join(details), tuple(spots))


def _user(pod: _Pod) -> Iterator[Violation]:
    if pod.own_users:
        return
    found, spots = _in_contexts(pod, "runAsUser", bad=lambda v: v == 0)
    if found:
        yield Violation("runAsUser", "runAsUser=0", f"{_setters(pod, found)} must not set runAsUser=0", tuple(spots))


def _seccomp_restricted(pod: _Pod) -> Iterator[Violation]:
    if pod.windows:
        return
    forbidden = list(_seccomp_baseline(pod))
    whole = _deep(pod.context, ("seccompProfile", "type"))
    unset = [c for c in pod.containers if _deep(c.context, ("seccompProfile", "type")) is None] if whole is None else []
    details = [v.detail for v in forbidden]
    spots = [s for v in forbidden for s in v.spots]
    if unset:
        who = _named("container", (c.name for c in unset))
        details.append(f'pod or {who} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"')
        spots += [((*c.path, "securityContext", "seccompProfile"), c.name) for c in unset]
    if details:
        yield Violation("seccompProfile_restricted", "seccompProfile", "; ".join(details), tuple(spots))


def _capabilities_restricted(pod: _Pod) -> Iterator[Violation]:
    if pod.windows:
        return
    keepers = [c for c in pod.containers if "ALL" not in (_deep(c.context, ("capabilities", "drop")) or ())]
    names, values, spots = _added(pod, frozenset(("NET_BIND_SERVICE",)))
    details = []
    if keepers:
        who = _named("container", (c.name for c in keepers))
        details.append(f'{who} must set securityContext.capabilities.drop=["ALL"]')
        spots = [*(((*c.path, "securityContext", "capabilities", "drop"), c.name) for c in keepers), *spots]
    if names:
        what = _quoted(sorted(set(values)))
        details.append(f"{_named('container', names)} must not include {what} in securityContext.capabilities.add")
    if details:
        yield Violation("capabilities_restricted", "unrestricted capabilities", "; ".join(details), tuple(spots))


# A restricted control that says more stands in for the baseline one of the same subject, as in Kubernetes' own evaluation.
_SUPERSEDED: tuple[Control, ...] = (_capabilities_baseline, _seccomp_baseline)
_BASELINE: tuple[Control, ...] = (
    _privileged,
    _host_namespaces,
    _host_ports,
    _host_paths,
    _capabilities_baseline,
    _app_armor,
    _selinux,
    _proc_mount,
    _seccomp_baseline,
    _sysctls,
    _windows_host_process,
    _probe_hosts,
)
_KEPT = tuple(c for c in _BASELINE if c not in _SUPERSEDED)
_RESTRICTED: tuple[Control, ...] = (
    _volume_types,
    _privilege_escalation,
    _non_root,
    _user,
    _seccomp_restricted,
    _capabilities_restricted,
)
