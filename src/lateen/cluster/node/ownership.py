"""fsGroup: the group that owns a pod's volumes, as the kubelet sets it. Called by ``volumes``, as root only. Blocking."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_FILE, _FOLDER = 0o660, 0o770 | stat.S_ISGID


def give(path: Path, group: int, *, policy: str = "Always") -> None:
    """Everything under ``path`` belongs to ``group``, which may write it. Policy OnRootMismatch: only if the top does not yet."""
    top = path.lstat()
    if policy == "OnRootMismatch" and top.st_gid == group and top.st_mode & _FOLDER == _FOLDER:
        return
    for folder, names, files in os.walk(path):
        for name in [*names, *files]:
            _one(os.path.join(folder, name), group)  # noqa: PTH118 - thousands of files: text is faster
    _one(str(path), group)  # last: it is what OnRootMismatch looks at


def _one(path: str, group: int) -> None:
    mode = os.lstat(path).st_mode
    os.lchown(path, -1, group)
    if not stat.S_ISLNK(mode):
        os.chmod(path, stat.S_IMODE(mode) | (_FOLDER if stat.S_ISDIR(mode) else _FILE))  # noqa: PTH101 - as above
