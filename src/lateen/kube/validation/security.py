"""Security contexts of pods and containers (ValidatePodSecurityContext, ValidateSecurityContext)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, one_of, unique
from lateen.kube.validation.errors import invalid, required

_MOST = 2**31 - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = r"([a-z0-9][-_a-z0-9]*[\./])*[a-z0-9][-_a-z0-9]*"  # pieces by dots or slashes
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def pod_security(spec: Object, at: str) -> Errors:
    """``securityContext`` of the pod spec at path ``at``."""
    context, path = spec.get("securityContext") or {}, f"{at}.securityContext"
    if not context:
        return
    yield from _ids(context, path, "runAsUser", "runAsGroup", "fsGroup")
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _id(group, f"{path}.supplementalGroups[{i}]")
    yield from one_of(context, "fsGroupChangePolicy", path, ("Always", "OnRootMismatch"), need=False)
    yield from one_of(context, "supplementalGroupsPolicy", path, ("Merge", "Strict"), need=False)
    yield from _profiles(context, path)
    yield from _sysctls(spec, context, path)


def container_security(container: Object, at: str) -> Errors:
    """``securityContext`` of the container at path ``at``."""
    context, path = container.get("securityContext") or {}, f"{at}.securityContext"
    if not context:
        return
    yield from _ids(context, path, "runAsUser", "runAsGroup")
    yield from one_of(context, "procMount", path, ("Default", "Unmasked"), need=False)
    yield from _profiles(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            yield invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            yield invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")


def _ids(context: Mapping[str, Any], path: str, *names: str) -> Errors:
    for name in names:
        if context.get(name) is not None:
            yield from _id(context[name], f"{path}.{name}")


def _id(value: int, field: str) -> Errors:
    if not 0 <= value <= _MOST:
        yield invalid(field, value, f"must be between 0 and {_MOST}, inclusive")


def _profiles(context: Mapping[str, Any], path: str) -> Errors:
    yield from _profile(context.get("seccompProfile"), f"{path}.seccompProfile", "seccomp", relative=True)
    yield from _profile(context.get("appArmorProfile"), f"{path}.appArmorProfile", "AppArmor")


def _profile(profile: Mapping[str, Any] | None, path: str, kind: str, *, relative: bool = False) -> Errors:
    if profile is None:
        return
    yield from one_of(profile, "type", path, _PROFILES)
    local, field = profile.get("localhostProfile"), f"{path}.localhostProfile"
    if profile.get("type") != "Localhost":
        if local is not None:
            yield invalid(field, local, f"can only be set when {kind} type is Localhost")
    elif not local:
        yield required(field, f"must be set when {kind} type is Localhost")
    elif relative and local.startswith("/"):
        yield invalid(field, local, "must be a relative path")
    elif relative and ".." in local.split("/"):
        yield invalid(field, local, "must not contain '..'")


def _sysctls(spec: Object, context: Mapping[str, Any], path: str) -> Errors:
    found = list(entries(context, "sysctls", path))
    yield from unique((f"{at}.name", s["name"].replace("/", ".")) for at, s in found if s.get("name"))
    for at, sysctl in found:
        name = (sysctl.get("name") or "").replace("/", ".")
        if not name:
            yield required(f"{at}.name")
        elif len(name) > 253 or not re.fullmatch(_SYSCTL, name):
            yield invalid(f"{at}.name", sysctl["name"], f"must have at most 253 characters and match regex ^{_SYSCTL}$")
        elif spec.get("hostNetwork") and name.startswith("net."):
            yield invalid(f"{at}.name", sysctl["name"], "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and name.startswith(_IPC):
            yield invalid(f"{at}.name", sysctl["name"], "may not be specified when 'hostIPC' is true")
