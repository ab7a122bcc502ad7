"""What a command is given before it starts, beyond a view of its own: mounts that end with it, namespaces that others join.

Called in the forked child only. ``mount``ed is in a mount namespace of the command's own, so nothing is left behind: that is how an
OCI runtime gets its root file system. ``hold`` makes the namespaces that the containers of one pod share; the process that holds
them sleeps.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from lateen.shim.syscalls import CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS, MS_REC, MS_SLAVE, mount, unshare

_KINDS = {"ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS, "pid": CLONE_NEWPID}


def mounted(mounts: Sequence[Mapping[str, str]]) -> None:
    """Make ``mounts`` ({"kind", "source", "target", "data", "cwd": what paths in data start from}) in a mount namespace of this
    process's own."""
    unshare(CLONE_NEWNS)
    mount("", "/", "", MS_REC | MS_SLAVE)
    for m in mounts:
        os.chdir(m.get("cwd") or "/")
        try:
            mount(m["source"], m["target"], m["kind"], 0, m.get("data", ""))
        except OSError:
            if m["kind"] != "overlay":
                raise
            mount(m["source"], m["target"], m["kind"], 0, m["data"] + ",userxattr")


def hold(sandbox: Mapping[str, Any], pid_file: str | None) -> None:
    """Make the namespaces ``sandbox["kinds"]`` with ``hostname``. With a pid namespace a child goes on in it, as its first process;
    its pid is left in ``pid_file``."""
    flags = 0
    for kind in sandbox["kinds"]:
        flags |= _KINDS[kind]
    unshare(flags)
    if "uts" in sandbox["kinds"]:
        socket.sethostname(sandbox["hostname"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # inherited: the kernel then reaps what a pid namespace's first process inherits
    if "pid" in sandbox["kinds"] and (child := os.fork()) != 0:
        assert pid_file is not None
        with open(pid_file, "w") as file:
            file.write(str(child))
        os._exit(0)
