"""One layer of an image, a tar, on its way to the disk: either a folder that overlayfs stacks, or into what lower layers made.

Stacked and as root, owners, modes and file capabilities are the image's; otherwise everything is ours. Devices are left out. By
hand, because tarfile's filters came only with Python 3.11.4. Used by ``layout`` and ``layers``.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from lateen.errors import FailedError

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


def unpack(blob: Path, root: Path, *, stacked: bool) -> None:
    """Write the layer below ``root``, never outside. ``stacked``: deletions become overlayfs' whiteouts; else what they name goes,
    before anything is written (OCI image spec, layer.md). FailedError for what is damaged. Blocking."""
    try:
        with tarfile.open(blob) as layer:
            if not stacked:
                for member in layer.getmembers():
                    _Entry(layer, member, root, stacked=False).delete()
            for member in layer:
                _Entry(layer, member, root, stacked=stacked).write()
    except tarfile.TarError as error:
        raise FailedError(f"it cannot be read: {error}") from error


class _Entry:
    """One entry: first it deletes, if that is what it is for, then it is written."""

    def __init__(self, layer: tarfile.TarFile, member: tarfile.TarInfo, root: Path, *, stacked: bool) -> None:
        self._layer, self._member, self._root, self._stacked = layer, member, root, stacked
        self._name = PurePosixPath("/", member.name).relative_to("/")
        if ".." in self._name.parts:
            raise self._outside()
        self._place = root / self._name
        self._deletes = self._name.name.startswith(_WHITEOUT)
        self._owned = stacked and os.geteuid() == 0

    def _outside(self) -> FailedError:
        return FailedError(f"the layer has an entry outside of its root: {self._member.name}")

    def _inside(self, folder: Path) -> bool:
        return folder.resolve().is_relative_to(self._root.resolve())

    def delete(self) -> None:
        if not self._deletes or not self._inside(self._place.parent):
            return
        folder = self._place.parent
        if self._name.name != _OPAQUE:
            _clear(folder / self._name.name.removeprefix(_WHITEOUT))
        elif folder.is_dir():
            for victim in folder.iterdir():
                _clear(victim)

    def write(self) -> None:
        if not self._name.parts:  # `./`, as `tar -C folder .` writes it
            if self._member.isdir() and self._stacked:
                self._finish()
            return
        if self._deletes and not self._stacked:
            return
        parent = self._place.parent
        if not self._inside(parent):
            raise self._outside()
        parent.mkdir(parents=True, exist_ok=True)
        if self._deletes:
            self._cover(parent)
        elif (make := self._maker()) is not None:
            if not (self._member.isdir() and self._place.is_dir() and not self._place.is_symlink()):
                _clear(self._place)
                make(self._place)
            self._finish()

    def _cover(self, parent: Path) -> None:
        if self._name.name == _OPAQUE:
            _set_attribute(parent, "overlay.opaque", b"y")
        else:
            os.mknod(parent / self._name.name.removeprefix(_WHITEOUT), 0o020000, os.makedev(0, 0))

    def _maker(self) -> Callable[[Path], None] | None:
        m = self._member
        if m.isdir():
            return lambda place: place.mkdir()
        if m.issym():
            return lambda place: place.symlink_to(m.linkname)  # absolute ones are right: they are resolved inside the root
        if m.islnk():
            return self._link
        if m.isfifo():
            return lambda place: os.mkfifo(place)
        return self._file if m.isreg() else None

    def _file(self, place: Path) -> None:
        content = self._layer.extractfile(self._member)
        with place.open("xb") as file:
            if content is not None:
                shutil.copyfileobj(content, file, 1 << 20)

    def _link(self, place: Path) -> None:
        source = self._root / PurePosixPath("/", self._member.linkname).relative_to("/")
        if not self._inside(source.parent):
            raise FailedError(f"the layer links outside of its root: {self._member.name}")
        os.link(source, place, follow_symlinks=False)

    def _finish(self) -> None:
        """Owner, mode, attributes and time, in the order that keeps each."""
        m, place = self._member, self._place
        if m.islnk():
            return
        if self._owned:
            os.lchown(place, m.uid, m.gid)
        if m.issym():
            return
        place.chmod(m.mode & 0o7777 if self._owned else (m.mode & 0o777) | (0o700 if m.isdir() else 0o400))
        if self._owned:
            for key, value in m.pax_headers.items():
                if key.startswith("SCHILY.xattr."):
                    os.setxattr(place, key.removeprefix("SCHILY.xattr."), value.encode("utf-8", "surrogateescape"))
        os.utime(place, (m.mtime, m.mtime))


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _set_attribute(folder: Path, name: str, value: bytes) -> None:
    os.setxattr(folder, f"{'trusted' if os.geteuid() == 0 else 'user'}.{name}", value)
