"""Namespaces of a whole cluster: made by one process, entered by its process owners and proxies.

As root: a network and a mount namespace. Without privileges: the same inside a user namespace in which this user is root. A
process that lives in them is named by its pid; they go when the last process in them ends, with every link and mount.
"""

from __future__ import annotations

import os
import socket

from lateen.shim.syscalls import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWUTS, MS_REC, MS_SLAVE, mount, setns, unshare

KINDS = ("user", "mnt", "net")


_outside: list[tuple[int, int]] = []  # who we were before we entered a user namespace


def create() -> None:
    """Leave the machine's namespaces for new ones. OSError where the kernel refuses."""
    try:
        unshare(CLONE_NEWNS | CLONE_NEWNET)
    except PermissionError:
        unshare_user(CLONE_NEWNS | CLONE_NEWNET, uid=0, gid=0)
    mount("", "/", "", MS_REC | MS_SLAVE)


def unshare_user(kinds: int, *, uid: int, gid: int) -> None:
    """New namespaces of ``kinds`` in a new user namespace, which knows one user: us, by these numbers."""
    maps = {"setgroups": "deny", "uid_map": f"{uid} {os.geteuid()} 1", "gid_map": f"{gid} {os.getegid()} 1"}
    unshare(CLONE_NEWUSER | kinds)
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def enter(pid: int) -> None:
    """Live where ``pid`` lives. OSError when it is gone or somebody else's."""
    before = os.geteuid(), os.getegid()
    handles = {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in KINDS}
    try:
        for kind, handle in handles.items():
            if not _same(f"/proc/self/ns/{kind}", handle):
                setns(handle)
                if kind == "user":
                    _outside.append(before)
    finally:
        for handle in handles.values():
            os.close(handle)
    os.chdir("/")


def private_mounts(hostname: str = "") -> None:
    """A mount namespace, and a host name of its own if one is given; with a user namespace around it where that is the only way,
    or where this process is root only because it lives in a cluster's: what is started shall see itself as the user whose it is."""
    kinds = CLONE_NEWNS | (CLONE_NEWUTS if hostname else 0)
    if _outside:
        unshare_user(kinds, uid=_outside[0][0], gid=_outside[0][1])
    else:
        try:
            unshare(kinds)
        except PermissionError:
            unshare_user(kinds, uid=os.geteuid(), gid=os.getegid())
    if hostname:
        socket.sethostname(hostname)
    mount("", "/", "", MS_REC | MS_SLAVE)


def _same(path: str, handle: int) -> bool:
    mine, its = os.stat(path), os.fstat(handle)
    return (mine.st_dev, mine.st_ino) == (its.st_dev, its.st_ino)
