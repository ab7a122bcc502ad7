"""Facts about a running cluster that `cluster status` shows: memory, pods, nodes. Measured, not remembered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from lateen.server.home import ClusterHome


def cluster_facts(cluster: ClusterHome, pid: int) -> dict[str, Any]:
    """``rss_bytes`` of the daemon from /proc, how many ``pods`` and ``nodes`` the API lists, and the nodes' ``runtime``."""
    return {"rss_bytes": rss_bytes(pid), "pid": pid, **asyncio.run(_counts(cluster))}


def rss_bytes(pid: int) -> int:
    """Resident memory of one process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


async def _counts(cluster: ClusterHome) -> dict[str, Any]:
    from lateen.cli.target import client_for
    from lateen.kube.resources import NODES, PODS

    client = client_for(kubeconfig=str(cluster.kubeconfig))
    try:
        pods, nodes = await client.list(PODS), await client.list(NODES)
        labels = ((n["metadata"].get("labels") or {}).get("lateen.dev/runtime", "") for n in nodes.items)
        runtimes = sorted({name for name in labels if name not in ("", "fake")})
        return {"pods": len(pods.items), "nodes": len(nodes.items), "runtime": "+".join(runtimes) or "-"}
    finally:
        await client.close()
