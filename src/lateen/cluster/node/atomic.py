"""Write a volume's files so that a reader sees the old set or the new one, never a mixture: the kubelet's ``..data`` symlink.

``folder/..data`` points to ``folder/..<stamp>/``; each top-level name is a symlink through ``..data``. Blocking.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from lateen.cluster.node.payload import Files
from lateen.errors import FailedError

_DATA = "..data"


def write(folder: Path, files: Files, *, uid: int | None = None, gid: int | None = None) -> bool:
    """Make ``folder`` hold exactly ``files``; False if it did already."""
    folder.mkdir(parents=True, exist_ok=True)
    if _same(folder, files):
        return False
    fresh = Path(tempfile.mkdtemp(dir=folder, prefix=".."))
    fresh.chmod(0o755)
    for name, file in files.items():
        target = fresh / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise FailedError(f"{name!r} is not a path inside a volume")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        target.chmod(file.mode)
        if uid is not None or gid is not None:
            os.chown(target, -1 if uid is None else uid, -1 if gid is None else gid)
    _swap(folder, fresh)
    _link_names(folder, {Path(name).parts[0] for name in files})
    return True


def _swap(folder: Path, fresh: Path) -> None:
    data = folder / _DATA
    old = folder / data.readlink() if data.is_symlink() else None
    scratch = folder / "..data_new"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(fresh.name)
    scratch.replace(data)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _link_names(folder: Path, names: set[str]) -> None:
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_DATA}/{name}")


def _same(folder: Path, files: Files) -> bool:
    data = folder / _DATA
    if not data.is_dir():
        return False
    real = data.resolve()
    present = {str(p.relative_to(real)): p for p in real.rglob("*") if p.is_file()}
    return present.keys() == files.keys() and all(
        p.read_bytes() == files[n].data and p.stat().st_mode & 0o777 == files[n].mode for n, p in present.items()
    )
