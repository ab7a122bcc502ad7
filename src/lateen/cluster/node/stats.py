"""The kubelet's own pages, which ``nodes/{node}/proxy`` shows: /stats/summary and /metrics/resource, made of a
reading.

``agent`` collects the running containers (``Measured``) and the reading; the API server only carries the answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lateen.cluster.node.usage import Rate, Reading
from lateen.kube.meta import Object, meta, parse_time, timestamp, uid_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One pod with its running containers: (name, started at, use)."""

    pod: Object
    containers: Sequence[tuple[str, str, Rate]]

    @property
    def cores(self) -> float:
        """Of all containers."""
        return sum(rate.cores for _, _, rate in self.containers)

    @property
    def cpu_seconds(self) -> float:
        """Of all containers, since they started."""
        return sum(rate.used.cpu_seconds for _, _, rate in self.containers)

    @property
    def memory(self) -> int:
        """Of all containers."""
        return sum(rate.used.memory for _, _, rate in self.containers)


def summary(node: str, folder: Path, reading: Reading, pods: Iterable[Measured]) -> Object:
    """/stats/summary."""
    time = timestamp(reading.at)
    return {
        "node": {
            "nodeName": node,
            "startTime": timestamp(datetime.fromtimestamp(_booted(), UTC)),
            "cpu": _cpu(time, reading.node.cores, reading.node.used.cpu_seconds),
            "memory": _memory(time, reading.node.used.memory, reading.node.used.rss)
            | {"availableBytes": _total_memory() - reading.node.used.memory},
            "fs": _disk(time, folder),
        },
        "pods": [_pod(time, p) for p in pods],
    }


def _pod(time: str, found: Measured) -> Object:
    m = meta(found.pod)
    rss = sum(rate.used.rss for _, _, rate in found.containers)
    return {
        "podRef": {"name": m.get("name"), "namespace": m.get("namespace"), "uid": uid_of(found.pod)},
        "startTime": (found.pod.get("status") or {}).get("startTime"),
        "containers": [
            {
                "name": name,
                "startTime": started[:19] + "Z",
                "cpu": _cpu(time, rate.cores, rate.used.cpu_seconds),
                "memory": _memory(time, rate.used.memory, rate.used.rss),
            }
            for name, started, rate in found.containers
        ],
        "cpu": _cpu(time, found.cores, found.cpu_seconds),
        "memory": _memory(time, found.memory, rss),
        "process_stats": {"process_count": sum(rate.used.processes for _, _, rate in found.containers)},
    }


def _cpu(time: str, cores: float, seconds: float) -> dict[str, Any]:
    return {"time": time, "usageNanoCores": int(cores * 1e9), "usageCoreNanoSeconds": int(seconds * 1e9)}


def _memory(time: str, working: int, rss: int) -> dict[str, Any]:
    return {"time": time, "usageBytes": working, "workingSetBytes": working, "rssBytes": rss}


def _booted() -> int:
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime"))


def _total_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _disk(time: str, folder: Path) -> dict[str, Any]:
    found = os.statvfs(folder)
    return {
        "time": time,
        "availableBytes": found.f_bavail * found.f_frsize,
        "capacityBytes": found.f_blocks * found.f_frsize,
        "usedBytes": (found.f_blocks - found.f_bfree) * found.f_frsize,
        "inodesFree": found.f_ffree,
        "inodes": found.f_files,
        "inodesUsed": found.f_files - found.f_ffree,
    }


def resource_metrics(reading: Reading, pods: Sequence[Measured]) -> str:
    """/metrics/resource, in Prometheus' text format."""
    at = int(reading.at.timestamp() * 1000)
    containers = [(_labels(p.pod, name), started, rate) for p in pods for name, started, rate in p.containers]
    families: list[tuple[str, list[tuple[str, float]]]] = [
        (_CPU % ("container", "container"), [(n, r.used.cpu_seconds) for n, _, r in containers]),
        (_MEMORY % ("container", "container"), [(n, r.used.memory) for n, _, r in containers]),
        (_START, [(n, parse_time(started).timestamp()) for n, started, _ in containers]),
        (_CPU % ("node", "node"), [("", reading.node.used.cpu_seconds)]),
        (_MEMORY % ("node", "node"), [("", reading.node.used.memory)]),
        (_CPU % ("pod", "pod"), [(_labels(p.pod), p.cpu_seconds) for p in pods]),
        (_MEMORY % ("pod", "pod"), [(_labels(p.pod), p.memory) for p in pods]),
    ]
    text = "".join(_family(head, values, at) for head, values in families if values)
    return text + _family(
        "resource_scrape_error gauge 1 if there was an error while getting container metrics, 0 otherwise", [("", 0)]
    )


_CPU = "%s_cpu_usage_seconds_total counter Cumulative cpu time consumed by the %s in core-seconds"
_MEMORY = "%s_memory_working_set_bytes gauge Current working set of the %s in bytes"
_START = "container_start_time_seconds gauge Start time of the container since unix epoch in seconds"


def _family(head: str, values: Iterable[tuple[str, float]], at: int | None = None) -> str:
    name, kind, text = head.split(" ", 2)
    moment = "" if at is None else f" {at}"
    lines = [f"{name}{labels} {value!r}{moment}\n" for labels, value in values]
    return f"# HELP {name} [STABLE] {text}\n# TYPE {name} {kind}\n" + "".join(lines)


def _labels(pod: Object, container: str = "") -> str:
    m = meta(pod)
    first = f'container="{container}",' if container else ""
    return f'{{{first}namespace="{m.get("namespace")}",pod="{m.get("name")}"}}'
