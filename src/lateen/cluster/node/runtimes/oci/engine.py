"""crun or runc as command lines. Used by ``runtime``; what is run here is run by the shim."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_WHERE = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """``binary`` with its own state under ``root``; ``cgroups``: it makes and removes them."""

    name: str
    binary: str
    root: Path
    cgroups: bool

    def run(self, container: str, folder: Path, *, attached: bool) -> list[str]:
        """Start the bundle in ``folder``: leaves the pid there and ends, or (``attached``) stays until the container ends."""
        detach = [] if attached else ["--detach"]
        return [
            *self._global(folder / "problems"),
            "run",
            *detach,
            "--bundle",
            str(folder),
            "--pid-file",
            str(folder / "pid"),
            container,
        ]

    def exec(self, container: str, process: Path, *, log: Path) -> list[str]:
        """A command in a running container: ``process`` is the file with an OCI process, since engines differ in what they take
        over from the container's own."""
        return [*self._global(log), "exec", "--process", str(process), container]

    def delete(self, container: str, log: Path) -> list[str]:
        """Forget an ended container, with its cgroup; kills what is left in it."""
        return [*self._global(log), "delete", "--force", container]

    def _global(self, log: Path) -> list[str]:
        manager = ["--cgroup-manager", "cgroupfs" if self.cgroups else "disabled"] if self.name == "crun" else []
        return [self.binary, "--root", str(self.root), "--log", str(log), *manager]


def find(root: Path, *, cgroups: bool) -> Engine | None:
    """The engine of this machine; crun is the quicker one. None without any."""
    for name in ("crun", "runc"):
        if binary := shutil.which(name, path=_WHERE):
            return Engine(name=name, binary=binary, root=root, cgroups=cgroups)
    return None


def installed() -> bool:
    """Whether this machine has one."""
    return find(Path("/"), cgroups=False) is not None
