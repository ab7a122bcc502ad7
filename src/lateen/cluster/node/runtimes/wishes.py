"""What pods ask for that a plain host process does not get. Pure. Used by the process runtime, which says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lateen.kube.meta import Object


def unkept(pod: Object, *, root: bool) -> list[str]:
    """The fields that a process runs without, sorted; ``root``: this user may give processes to other users."""
    spec = pod.get("spec") or {}
    common = spec.get("securityContext") or {}
    found = {"hostUsers"} if spec.get("hostUsers") is False else set()
    if common.get("sysctls"):
        found.add("sysctls")
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        found |= set(_of_container({**common, **(container.get("securityContext") or {})}, root=root))
    return sorted(found)


def _of_container(context: Mapping[str, Any], *, root: bool) -> Iterator[str]:
    capabilities = context.get("capabilities") or {}
    if capabilities.get("drop") or capabilities.get("add"):
        yield "capabilities"
    if context.get("readOnlyRootFilesystem"):
        yield "readOnlyRootFilesystem"
    if not root and (context.get("runAsUser") is not None or context.get("runAsGroup") is not None):
        yield "runAsUser"
    if context.get("runAsNonRoot") and context.get("runAsUser") is None:
        yield "runAsNonRoot"
    if (context.get("seccompProfile") or {}).get("type") == "Localhost":
        yield "seccompProfile"
    if context.get("appArmorProfile"):
        yield "appArmorProfile"
