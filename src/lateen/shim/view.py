"""A container's view of the file system without root, images or daemons: the host's root with a few paths laid over it.

The child that becomes the container enters a mount namespace of its own (and, without privileges, a user namespace that maps its
uid to itself), builds a new root on a tmpfs from the host's top-level entries, lays the image's folders and the volumes over it
at their absolute paths, and moves there. The network stays the host's. Called in the forked child only, before exec.

A mount point that does not exist is never made on the host: the nearest existing folder is replaced, in this view only, by a
tmpfs with the same entries in it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import Any

from lateen.shim.namespaces import private_mounts
from lateen.shim.syscalls import (
    MS_BIND,
    MS_MOVE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_UNBINDABLE,
    mount,
    setns,
)


def enter(view: Mapping[str, Any]) -> None:
    """Build the view and make it this process's root. ``view``: {"root": an empty folder, "mounts": [{"source", "target",
    "read_only", "upper": folder for changes laid over a source that must not change}], "base": an image to start from, default the
    host, "hostname": its name there}. OSError when the kernel does not allow it."""
    private_mounts(view.get("hostname") or "")
    root: str = view["root"]
    mount("tmpfs", root, "tmpfs", 0, "mode=755")
    mount("", root, "", MS_UNBINDABLE)  # so that binding the folder that holds it does not copy it into itself
    tree = Tree(root)
    tree.fill("/", os.open(view.get("base") or "/", os.O_PATH | os.O_DIRECTORY))
    for m in sorted(view["mounts"], key=lambda m: str(m["target"]).count("/")):
        tree.lay(m)
    os.chdir(root)
    mount(".", "/", "", MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def possible(root: str) -> bool:
    """Whether this kernel lets this user have views: found out by making one, in a child."""
    os.makedirs(root, exist_ok=True)
    pid = os.fork()
    if pid == 0:
        try:
            enter({"root": root, "mounts": []})
            os.listdir("/proc/self")
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def join(pid: int) -> None:
    """Enter the view of a running container (for exec)."""
    mine, its = os.readlink("/proc/self/ns/mnt"), os.readlink(f"/proc/{pid}/ns/mnt")
    if mine == its:
        return
    kinds = [k for k in ("user", "uts", "mnt") if os.readlink(f"/proc/self/ns/{k}") != os.readlink(f"/proc/{pid}/ns/{k}")]
    fds = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in kinds]
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
    for fd in fds:
        setns(fd)
    os.fchdir(root)
    os.chroot(".")


_CONSOLES = (4, 7)  # tty and ttyS, vcs


class Tree:
    """A root under construction. ``made`` are folders of this view alone: whatever is missing can be made there."""

    def __init__(self, root: str) -> None:
        self.root, self.made = root, set[str]()
        self.laid: list[str] = []

    def at(self, path: str) -> str:
        return self.root + path if path != "/" else self.root

    def fill(self, path: str, source: int) -> None:
        """Show in ``path`` (a tmpfs of this view) what the folder ``source`` holds."""
        self.made.add(path)
        here = f"/proc/self/fd/{source}"
        for name in os.listdir(here):
            target, origin = os.path.join(self.at(path), name), f"{here}/{name}"
            try:
                found = os.lstat(origin)
                mode = found.st_mode
                if path == "/dev" and _of_the_machine(found):
                    continue
                if stat.S_ISLNK(mode):
                    os.symlink(os.readlink(origin), target)
                else:
                    _mount_point(target, is_folder=stat.S_ISDIR(mode))
                    mount(origin, target, "", MS_BIND | MS_REC)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EINVAL, errno.ELOOP):
                    raise
        os.close(source)

    def lay(self, m: Mapping[str, Any]) -> None:
        """Show ``source`` at ``target``."""
        source, is_folder = m["source"], os.path.isdir(m["source"])
        path = self.place(m["target"], is_folder=is_folder)
        target = self.at(path)
        if m.get("upper") and is_folder and _overlay(source, m["upper"], target):
            pass
        else:
            mount(source, target, "", MS_BIND | MS_REC)
            if m.get("read_only") or m.get("upper"):
                kept = os.statvfs(target).f_flag & ~MS_RDONLY & 0xFFF  # flags that an unprivileged remount must repeat
                mount("", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY | kept)
        self.laid.append(path)

    def place(self, wanted: str, *, is_folder: bool) -> str:
        """The real path in this view of ``wanted``, made if missing."""
        done, todo, hops = "/", [p for p in wanted.split("/") if p and p != "."], 0
        while todo:
            name = todo.pop(0)
            if name == "..":
                done = os.path.dirname(done)
                continue
            path = os.path.join(done, name)
            target = self.at(path)
            if os.path.islink(target):
                hops += 1
                if hops > 40:
                    raise OSError(errno.ELOOP, f"too many links on the way to {wanted}")
                link = os.readlink(target)
                done = "/" if link.startswith("/") else done
                todo = [p for p in link.split("/") if p and p != "."] + todo
                continue
            if not os.path.lexists(target):
                self._make_room(done)
                _mount_point(target, is_folder=is_folder or bool(todo))
                if done in self.made and (is_folder or todo):
                    self.made.add(path)
            done = path
        return done

    def _make_room(self, folder: str) -> None:
        """Let something new be made in ``folder``: in a volume for real, elsewhere in this view only."""
        if folder in self.made or any(folder == p or folder.startswith(p + "/") for p in self.laid):
            return
        source = os.open(self.at(folder), os.O_PATH | os.O_DIRECTORY)
        mount("tmpfs", self.at(folder), "tmpfs", 0, "mode=755")
        self.fill(folder, source)


def _of_the_machine(found: os.stat_result) -> bool:
    """Disks and consoles, which would only make a /dev of the container's own slow to fill."""
    return stat.S_ISBLK(found.st_mode) or (stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) in _CONSOLES)


def _mount_point(path: str, *, is_folder: bool) -> None:
    if is_folder:
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _overlay(lower: str, upper: str, target: str) -> bool:
    """Lay ``lower`` with changes kept in ``upper``/new; False where the kernel or the file system refuses."""
    new, work = os.path.join(upper, "new"), os.path.join(upper, "work")
    try:
        os.makedirs(new, exist_ok=True)
        os.makedirs(work, exist_ok=True)
        options = f"lowerdir={lower},upperdir={new},workdir={work}"
        try:
            mount("overlay", target, "overlay", 0, options + ",userxattr")
        except OSError:
            mount("overlay", target, "overlay", 0, options)
    except OSError:
        return False
    return True
