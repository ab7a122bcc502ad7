"""A pod's kernel parameters: ``net.*`` belong to its network namespace, ``kernel.*`` to its containers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from lateen.kube.meta import Object
from lateen.kube.podsecurity import SAFE_SYSCTLS


def sysctls(pod: Object) -> dict[str, str]:
    """The pod's sysctls, with dots."""
    context = (pod.get("spec") or {}).get("securityContext") or {}
    return {s["name"].replace("/", "."): str(s["value"]) for s in context.get("sysctls") or ()}


def network_sysctls(pod: Object) -> dict[str, str]:
    """Those of the network, by their path below /proc/sys/net."""
    return {k.removeprefix("net.").replace(".", "/"): v for k, v in sysctls(pod).items() if k.startswith("net.")}


def forbidden_sysctl(pod: Object, allowed: Sequence[str]) -> str:
    """The first sysctl that is neither in the safe set nor matches a pattern of ``allowed`` (``kernel.msg*``), or ''."""
    return next((n for n in sysctls(pod) if n not in SAFE_SYSCTLS and not any(fnmatchcase(n, a) for a in allowed)), "")
