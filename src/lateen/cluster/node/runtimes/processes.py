"""What the processes of containers use, from /proc: for the process runtime, which has no cgroups to ask. Blocking.

One pass over /proc finds every process' parent; what descends from a container's first process, or is a child of the shim with the
container's mark (kubectl exec), is the container's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lateen.cluster.node.seam import Used
from lateen.shim.procfs import MARK

_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Running:
    """One process: ``ticks`` of processor time, its ended children's included."""

    parent: int
    ticks: int


def measure(roots: Mapping[int, str], shim: int) -> dict[str, Used]:
    """Use by container id. ``roots`` are the first processes (pid to id), ``shim`` the pid of their parent."""
    processes = dict(_processes())
    members: dict[str, list[int]] = {name: [] for name in roots.values()}
    known: dict[int, str] = dict(roots)
    for pid in processes:
        owner = _owner(pid, processes, known, shim)
        if owner in members:
            members[owner].append(pid)
    return {name: _used(pids, processes) for name, pids in members.items() if pids}


def _used(pids: Iterable[int], processes: Mapping[int, Running]) -> Used:
    memory, rss, count = _memory(pids)
    return Used(cpu_seconds=sum(processes[p].ticks for p in pids) / _TICKS, memory=memory, rss=rss, processes=count)


def _processes() -> Iterable[tuple[int, Running]]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are wanted, by the thousand
        if not name.isdigit():
            continue
        try:
            fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended
        yield int(name), Running(int(fields[1]), sum(int(n) for n in fields[11:15]))


def _owner(pid: int, processes: Mapping[int, Running], known: dict[int, str], shim: int) -> str:
    """Whose container ``pid`` is of, '' if of none. ``known`` learns what is found on the way."""
    trail = []
    while pid not in known:
        trail.append(pid)
        found = processes.get(pid)
        if found is None or found.parent == 0:
            known[pid] = ""
        elif found.parent == shim:
            known[pid] = _mark(pid)
        else:
            pid = found.parent
    for each in trail:
        known[each] = known[pid]
    return known[pid]


def _mark(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    prefix = f"{MARK}=".encode()
    return next((w[len(prefix) :].decode() for w in words if w.startswith(prefix)), "")


def _memory(pids: Iterable[int]) -> tuple[int, int, int]:
    """(resident bytes, those of no file, processes). Pages that they share (libraries, forked workers) count once, as far as can
    be told."""
    own = shared = count = 0
    for pid in pids:
        try:
            _, pages, common = (int(n) for n in Path(f"/proc/{pid}/statm").read_text().split()[:3])
        except OSError:
            continue
        own, shared, count = own + pages - common, max(shared, common), count + 1
    return (own + shared) * _PAGE, own * _PAGE, count
