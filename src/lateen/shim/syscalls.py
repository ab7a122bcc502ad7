"""The few system calls that Python 3.11 does not offer. Loaded once, before any fork."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x04000000, 0x08000000, 0x20000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC = 1, 32, 4096, 8192, 16384
MS_UNBINDABLE, MS_SLAVE = 1 << 17, 1 << 19
_MNT_DETACH = 2
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_PUNCH_HOLE_KEEP_SIZE = 0x03
_IN_MODIFY, _IN_NONBLOCK, _IN_CLOEXEC = 0x2, 0o4000, 0o2000000


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the shared namespaces ``flags``."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int) -> None:
    """Enter the namespace that ``fd`` stands for."""
    _check(_libc.setns(fd, 0), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    args = [s.encode() if s else None for s in (source, target, kind, data)]
    _check(_libc.mount(args[0], args[1], args[2], ctypes.c_ulong(flags), args[3]), f"mount {target}")


def unmount(target: str) -> None:
    """umount(2), of a mount that may still be in use."""
    _check(_libc.umount2(target.encode(), _MNT_DETACH), f"unmount {target}")


def become_subreaper() -> None:
    """Orphaned descendants become children of this process."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def set_name(name: str) -> None:
    """The name that ps and top show (15 bytes)."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def watch_writes(path: str) -> int:
    """A descriptor that becomes readable when somebody writes to the file."""
    handle = _libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
    _check(min(handle, 0), "inotify_init1")
    if _libc.inotify_add_watch(handle, path.encode(), _IN_MODIFY) < 0:
        number = ctypes.get_errno()
        os.close(handle)
        raise OSError(number, f"inotify_add_watch {path}: {os.strerror(number)}")
    return int(handle)


def punch_hole(fd: int, start: int, length: int) -> None:
    """Give the blocks of a file's range back to the disk; offsets stay."""
    done = _libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(length))
    _check(done, "fallocate")
