"""What /proc tells about processes: start times (so that a reused pid is never mistaken) and families."""

from __future__ import annotations

import os
from collections.abc import Iterator

MARK = "LATEEN_ID"  # in the environment of every child: how a process that left its session is still known


def boot_id() -> str:
    """Changes with every boot: start times of different boots do not compare."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _stat(pid: int) -> list[str]:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().decode(errors="replace").rpartition(")")[2].split()


def start_time(pid: int) -> int:
    """Ticks since boot at which ``pid`` started; 0 if there is no such process (a zombie is none)."""
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def children(pid: int) -> list[int]:
    """Direct children."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            direct = [int(p) for p in file.read().split()]
    except FileNotFoundError:  # no such process, or a kernel without CONFIG_PROC_CHILDREN
        return [p for p, parent in _parents() if parent == pid]
    return direct + [c for thread in _threads(pid) if thread != pid for c in _thread_children(pid, thread)]


def _threads(pid: int) -> list[int]:
    try:
        return [int(t) for t in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _thread_children(pid: int, thread: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            return [int(p) for p in file.read().split()]
    except OSError:
        return []


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                yield int(name), int(_stat(int(name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue


def descendants(pid: int) -> list[int]:
    """Every process below ``pid``."""
    found, todo = [], children(pid)
    while todo:
        child = todo.pop()
        found.append(child)
        todo += children(child)
    return found


def belongs(pid: int, session: int, mark: str) -> bool:
    """Whether ``pid`` is of the session, or carries the mark in its environment."""
    try:
        if int(_stat(pid)[3]) == session:
            return True
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}={mark}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def strays(pid: int, mark: str, adopter: int) -> list[int]:
    """Orphans of the process ``pid`` that ``adopter`` (the shim) inherited, and what is below them."""
    orphans = [p for p in children(adopter) if p != pid and belongs(p, pid, mark)]
    return orphans + [d for o in orphans for d in descendants(o)]


def family(pid: int, mark: str, adopter: int) -> list[int]:
    """Everything that came of the process, itself excepted."""
    return descendants(pid) + strays(pid, mark, adopter)
