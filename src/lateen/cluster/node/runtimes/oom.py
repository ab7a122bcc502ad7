"""Who is killed first when the machine has no memory left. Used by both runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lateen.kube.quantity import parse

_CAP_SYS_RESOURCE = 24


def oom_score_adj(pod: Mapping[str, Any], container: Mapping[str, Any], memory: int) -> int:
    """Who is killed first when the machine has no memory left: as the kubelet rates it. ``memory`` is the node's, in bytes."""
    quality = (pod.get("status") or {}).get("qosClass")
    if quality == "Guaranteed":
        return -997
    request = int(parse(((container.get("resources") or {}).get("requests") or {}).get("memory") or "0"))
    if quality == "BestEffort" or (quality is None and not request):
        return 1000
    return min(999, max(3, 1000 - 1000 * request // max(1, memory)))


def least_oom_score() -> int:
    """What this process may give another at the least: without CAP_SYS_RESOURCE what it has itself."""
    status = Path("/proc/self/status").read_text()
    capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    return -1000 if capabilities >> _CAP_SYS_RESOURCE & 1 else int(Path("/proc/self/oom_score_adj").read_text())
