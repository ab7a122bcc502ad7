"""Layers of an image, unpacked once each into ``layers/<digest>`` beside the layout, in the form that overlayfs stacks.

Called by the node agent for images with a root file system of their own. As root, owners, modes and file capabilities are the
image's; otherwise everything is ours. Deletions become overlayfs' whiteouts; devices are left out.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from lateen.errors import FailedError
from lateen.images.layout import Image, ImageStore
from lateen.images.reference import Digest

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


def unpacked(store: ImageStore, image: Image) -> list[Path]:
    """The folders of the image's layers, lowest first. Nobody writes to them again. FailedError for a damaged one. Blocking."""
    return [_layer(store, digest) for digest in image.layers]


def _layer(store: ImageStore, digest: str) -> Path:
    target = store.root / "layers" / digest.removeprefix("sha256:")
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpack-"))
    try:
        with tarfile.open(store.verified(Digest(digest))) as layer:
            for member in layer:
                _Entry(layer, member, scratch).write()
        scratch.chmod(0o755)
        scratch.rename(target)
    except tarfile.TarError as error:
        raise FailedError(f"layer {digest} cannot be read: {error}") from error
    except OSError:
        if not target.exists():  # somebody else was faster with the same content
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


class _Entry:
    """One entry of a layer on its way to the disk."""

    def __init__(self, layer: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
        self._layer, self._member, self._root = layer, member, root

    def write(self) -> None:
        name = PurePosixPath("/", self._member.name).relative_to("/")
        if ".." in name.parts:
            raise FailedError(f"the layer has an entry outside of its root: {self._member.name}")
        if not name.parts:  # `./`, as `tar -C folder .` writes it
            if self._member.isdir():
                self._finish(self._root)
            return
        place = self._root / name
        parent = place.parent
        parent.mkdir(parents=True, exist_ok=True)
        if not parent.resolve().is_relative_to(self._root.resolve()):
            raise FailedError(f"the layer has an entry outside of its root: {self._member.name}")
        if place.name == _OPAQUE:
            _set_attribute(parent, "overlay.opaque", b"y")
        elif place.name.startswith(_WHITEOUT):
            os.mknod(parent / place.name.removeprefix(_WHITEOUT), 0o020000, os.makedev(0, 0))
        elif (make := self._maker()) is not None:
            if not (self._member.isdir() and place.is_dir() and not place.is_symlink()):
                _clear(place)
                make(place)
            self._finish(place)

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
        if not source.parent.resolve().is_relative_to(self._root.resolve()):
            raise FailedError(f"the layer links outside of its root: {self._member.name}")
        os.link(source, place, follow_symlinks=False)

    def _finish(self, place: Path) -> None:
        """Owner, mode, attributes and time, in the order that keeps each."""
        m = self._member
        if m.islnk():
            return
        root = os.geteuid() == 0
        if root:
            os.lchown(place, m.uid, m.gid)
        if m.issym():
            return
        place.chmod(m.mode & 0o7777 if root else (m.mode & 0o777) | (0o700 if m.isdir() else 0o400))
        if root:
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
