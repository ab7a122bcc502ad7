"""Resources of a container as the kernel takes them (pure), and what its cgroup says while and after it runs.

crun or runc makes and removes the cgroups; here are the amounts, the place, and the few files that are read. Used by ``bundle`` and
``runtime``. Version 1 is one hierarchy per controller, version 2 a single one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lateen.kube.quantity import parse

ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000
_LEAST_SHARES, _MOST_SHARES, _LEAST_QUOTA = 2, 262_144, 1000
_NO_QUOTA = -1
_PIDS = 32_768
_DEVICES = ({"allow": False, "access": "rwm"},)
_ANY_DEVICE = ({"allow": True, "access": "rwm"},)


def resources(container: Mapping[str, Any], *, privileged: bool, unified: bool, swap: bool) -> dict[str, Any]:
    """``linux.resources``: requests become shares, a memory limit bytes (with ``swap`` counted). Devices are refused unless
    privileged.

    The CPU quota is left out: a container that may use little would take seconds to start. See ``Cgroups.limit_cpu``.
    """
    asked = container.get("resources") or {}
    requests, limits = asked.get("requests") or {}, asked.get("limits") or {}
    cpu = {"shares": shares(requests.get("cpu", limits.get("cpu")))}
    found: dict[str, Any] = {"cpu": cpu, "pids": {"limit": _PIDS}, "devices": list(_ANY_DEVICE if privileged else _DEVICES)}
    if limits.get("memory"):
        memory = int(parse(limits["memory"]))
        found["memory"] = {"limit": memory} | ({"swap": memory} if swap else {})
        if unified:
            found["unified"] = {"memory.oom.group": "1"}
    return found


def shares(cpu: str | None) -> int:
    """CPU weight of a request: 1024 per core."""
    milli = int(parse(cpu) * 1000) if cpu else 0
    return min(_MOST_SHARES, max(_LEAST_SHARES, milli * 1024 // 1000))


def quota(container: Mapping[str, Any]) -> int:
    """Microseconds of CPU per 100 ms; 0 without a limit."""
    limits = (container.get("resources") or {}).get("limits") or {}
    milli = int(parse(limits["cpu"]) * 1000) if limits.get("cpu") else 0
    return max(_LEAST_QUOTA, milli * _PERIOD // 1000) if milli else 0


class Cgroups:
    """The cgroups under ``/<prefix>`` on this machine. ``usable`` is False where this user can make none."""

    def __init__(self, prefix: str, root: Path = ROOT) -> None:
        self.prefix, self._root = prefix, root
        self.unified = (root / "cgroup.controllers").exists()
        self.mixed = (root / "unified").is_dir()
        self.swap = self.unified or (root / "memory/memory.memsw.limit_in_bytes").exists()
        self.usable = os.geteuid() == 0 and self._can_make()

    def _can_make(self) -> bool:
        place = self._folder("memory")
        try:
            place.mkdir(exist_ok=True)
            place.rmdir()
        except OSError as error:
            return place.exists() and error.errno in _NOT_EMPTY
        return True

    def path(self, name: str) -> str:
        """Where the container ``name`` is put, as a bundle says it."""
        return f"/{self.prefix}/{name}"

    def _folder(self, controller: str, name: str = "") -> Path:
        base = self._root if self.unified else self._root / controller
        return base / self.prefix / name if name else base / self.prefix

    def oom_kills(self, name: str) -> int:
        """How many processes of the container were killed for want of memory."""
        file = "memory.events" if self.unified else "memory.oom_control"
        try:
            lines = (self._folder("memory", name) / file).read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

    def processes(self, name: str) -> list[int]:
        """Everything that runs in the container, this machine's pids."""
        try:
            return [int(p) for p in (self._folder("pids", name) / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def kill(self, name: str) -> None:
        """SIGKILL to everything in it."""
        for pid in self.processes(name):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def limit_cpu(self, name: str, quota: int) -> None:
        """Microseconds per 100 ms, from now on."""
        folder = self._folder("cpu", name)
        if self.unified:
            (folder / "cpu.max").write_text(f"{'max' if quota == _NO_QUOTA else quota} {_PERIOD}")
        else:
            (folder / "cpu.cfs_quota_us").write_text(str(quota))

    def resize(self, name: str, container: Mapping[str, Any]) -> None:
        """Other shares, CPU and memory for a running container. OSError, as when more memory is in use than shall be."""
        limits = (container.get("resources") or {}).get("limits") or {}
        weight = shares(((container.get("resources") or {}).get("requests") or {}).get("cpu", limits.get("cpu")))
        self._set_shares(name, weight)
        most = quota(container)
        self.limit_cpu(name, most or _NO_QUOTA)
        self._limit_memory(name, int(parse(limits["memory"])) if limits.get("memory") else 0)

    def _set_shares(self, name: str, weight: int) -> None:
        folder = self._folder("cpu", name)
        if self.unified:
            (folder / "cpu.weight").write_text(str(1 + (weight - _LEAST_SHARES) * 9999 // (_MOST_SHARES - _LEAST_SHARES)))
        else:
            (folder / "cpu.shares").write_text(str(weight))

    def _limit_memory(self, name: str, size: int) -> None:
        folder = self._folder("memory", name)
        if self.unified:
            (folder / "memory.max").write_text(str(size or "max"))
            return
        files = [folder / "memory.limit_in_bytes", *([folder / "memory.memsw.limit_in_bytes"] if self.swap else [])]
        more = not size or size > int(files[0].read_text())
        for file in reversed(files) if more else files:  # with swap is never less than without
            file.write_text(str(size or -1))

    def remove_empty(self) -> None:
        """Drop every cgroup in which nothing runs, and the folder of all, if there are none."""
        for base in self._all():
            for folder in [*(entry for entry in base.iterdir() if entry.is_dir()), base]:
                try:
                    folder.rmdir()
                except OSError:
                    continue

    def _all(self) -> Iterator[Path]:
        bases = [self._root] if self.unified else [d for d in self._root.iterdir() if d.is_dir()]
        return (b / self.prefix for b in bases if (b / self.prefix).is_dir())


_NOT_EMPTY = (16, 39)  # EBUSY, ENOTEMPTY
