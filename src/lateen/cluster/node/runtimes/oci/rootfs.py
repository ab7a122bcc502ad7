"""A container's root file system: the image's layers with a folder for changes, or the host's own root, read-only, with the image
laid over it. Used by ``runtime``.

Nothing is mounted here: ``stage`` says what the shim mounts in the mount namespace in which crun starts, so every mount ends with
the container and none can be left behind. Where the kernel has no overlayfs for this user, the layers are copied.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lateen.cluster.node.runtimes.oci.bundle import bound
from lateen.cluster.node.runtimes.oci.security import Accounts
from lateen.cluster.node.seam import ContainerSpec

_OF_HOST = ("bin", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr")
_EMPTY = ("dev", "etc", "home", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var")
_VAR = ("cache", "lib", "log", "run", "spool", "tmp")
_LINK_MOST = 40
_DATA_MOST = 4000  # bytes of a mount's options that a kernel takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """``path`` is the bundle's root, ``stage`` what is mounted before crun starts, ``mounts`` what the bundle adds."""

    path: Path
    stage: Sequence[Mapping[str, str]] = ()
    mounts: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def make(spec: ContainerSpec, folder: Path, *, overlay: bool) -> Root:
    """Make the folders of an attempt's root under ``folder``. Blocking."""
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    if not spec.layers:
        return Root(path=root, mounts=_on_host(spec, root, folder, overlay=overlay))
    if overlay:
        mount = _overlay(spec.layers, folder / "changes", root)
        if len(mount["data"]) < _DATA_MOST:
            return Root(path=root, stage=(mount,))
    _copy(spec.layers, root)
    return Root(path=root)


def _overlay(lower: Sequence[Path], changes: Path, target: Path) -> dict[str, str]:
    """Lay ``lower`` (lowest first) under ``changes``."""
    new, work = changes / "new", changes / "work"
    new.mkdir(parents=True, exist_ok=True)
    work.mkdir(exist_ok=True)
    new.chmod(0o755)
    base = lower[0].parent
    names = ":".join(path.name if path.parent == base and len(lower) > 1 else str(path) for path in reversed(lower))
    data = f"lowerdir={names},upperdir={new},workdir={work}"
    return {"kind": "overlay", "source": "overlay", "target": str(target), "data": data, "cwd": str(base)}


def _on_host(spec: ContainerSpec, root: Path, folder: Path, *, overlay: bool) -> list[dict[str, Any]]:
    """The host's programs, read-only; its /etc and the image's folders with changes of the container's own."""
    for name in _EMPTY:
        (root / name).mkdir(exist_ok=True)
    for name in _VAR:
        (root / "var" / name).mkdir(exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    mounts = [m for name in _OF_HOST if (m := _host_folder(name, root)) is not None]
    written = [(Path("/etc"), "etc")]
    if spec.rootfs is not None:
        written += [(Path(e.path), e.name) for e in os.scandir(spec.rootfs)]
    for source, name in written:
        mounts.append(_laid(source, f"/{name}", folder / "changes" / name, overlay=overlay))
    prefix = os.path.realpath(sys.base_prefix)
    if prefix.split("/")[1] not in _OF_HOST:  # an interpreter in somebody's home
        mounts.append(bound(prefix, prefix))
    return mounts


def _host_folder(name: str, root: Path) -> dict[str, Any] | None:
    source = Path("/", name)
    if source.is_symlink():
        if not (root / name).is_symlink():
            (root / name).symlink_to(source.readlink())
        return None
    return bound(f"/{name}", str(source)) if source.is_dir() else None


def _laid(source: Path, target: str, changes: Path, *, overlay: bool) -> dict[str, Any]:
    if not source.is_dir():
        return bound(target, str(source))
    if overlay:
        m = _overlay([source], changes, Path(target))
        return {"destination": target, "type": "overlay", "source": "overlay", "options": m["data"].split(",")}
    if not changes.exists():
        shutil.copytree(source, changes, symlinks=True, ignore_dangling_symlinks=True)
    return bound(target, str(changes), read_only=False)


def _copy(layers: Sequence[Path], root: Path) -> None:
    """The layers, one after the other, with what a later one deletes left out."""
    for layer in layers:
        for folder, names, files in os.walk(layer):
            here = root / Path(folder).relative_to(layer)
            if _opaque(folder):
                shutil.rmtree(here, ignore_errors=True)
            here.mkdir(exist_ok=True)
            shutil.copystat(folder, here)
            for name in [*files, *(n for n in names if Path(folder, n).is_symlink())]:
                _copy_one(Path(folder, name), here / name)


def _copy_one(source: Path, target: Path) -> None:
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    if not source.is_char_device():  # a whiteout: deleted
        shutil.copy2(source, target, follow_symlinks=False)


def _opaque(folder: str) -> bool:
    for kind in ("trusted", "user"):
        try:
            return os.getxattr(folder, f"{kind}.overlay.opaque") == b"y"
        except OSError:
            continue
    return False


def remove(folder: Path) -> None:
    """Drop ``folder``, with what overlayfs made for itself and lets nobody look into. Blocking."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for place, names, _ in os.walk(folder):
            for name in names:
                if not Path(place, name).is_symlink():
                    Path(place, name).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def accounts(spec: ContainerSpec) -> Accounts:
    """The image's users and groups; the host's, when that is the base. Blocking."""
    if not spec.layers:
        return Accounts(passwd=_read(Path("/etc/passwd")), group=_read(Path("/etc/group")))
    return Accounts(passwd=_in_layers(spec.layers, "etc/passwd"), group=_in_layers(spec.layers, "etc/group"))


def _in_layers(layers: Sequence[Path], name: str) -> str:
    """A file of the image, wherever its links lead inside it."""
    for _ in range(_LINK_MOST):
        place = next((layer / name for layer in reversed(layers) if os.path.lexists(layer / name)), None)
        if place is None:
            return ""
        if not place.is_symlink():
            return _read(place) if place.is_file() and _inside(place, layers) else ""
        name = os.path.normpath(Path("/", name).parent / place.readlink()).lstrip("/")
    return ""


def _inside(place: Path, layers: Sequence[Path]) -> bool:
    return any(place.resolve().is_relative_to(layer.resolve()) for layer in layers)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
