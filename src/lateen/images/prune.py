"""What of the store nothing needs any more, and its removal. Called by ``lateen image remove`` and the node's garbage collection.

Reachable is what a name points to (or is, for a name with a digest) and what a cluster has said it uses (``uses``). Its word
counts as long as its folder exists, so pods that outlive their daemon keep their files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from lateen.errors import FailedError
from lateen.images.layout import Image, ImageStore, write_atomic
from lateen.images.reference import Digest, parse

_STALE = 24 * 3600.0  # seconds after which a broken download is not continued any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What a removal gave back."""

    bytes: int
    blobs: int


def uses(store: ImageStore, folder: Path, digests: Iterable[Digest]) -> None:
    """Say which images the cluster in ``folder`` uses now."""
    place = _place(store, folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, orjson.dumps({"folder": str(folder), "digests": sorted(set(digests))}))


def uses_of(store: ImageStore, folder: Path) -> set[Digest]:
    """What the cluster in ``folder`` said last."""
    try:
        return {Digest(d) for d in orjson.loads(_place(store, folder).read_bytes())["digests"]}
    except FileNotFoundError:
        return set()


def _place(store: ImageStore, folder: Path) -> Path:
    return store.root / "used" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]


def used(store: ImageStore, *, but: Path | None = None) -> set[Digest]:
    """Manifest digests that clusters use, ``but`` for one of them."""
    found: set[Digest] = set()
    for file in (store.root / "used").glob("[0-9a-f]*"):
        said = orjson.loads(file.read_bytes())
        if not Path(said["folder"]).exists():
            file.unlink(missing_ok=True)
        elif said["folder"] != str(but):
            found |= {Digest(d) for d in said["digests"]}
    return found


def settle(store: ImageStore, cluster: Path, in_use: Callable[[], set[Digest]]) -> None:
    """Let a cluster's word be what it uses now, unless somebody is about to use more."""
    with store.pruning() as may:
        if may:
            _say_anew(store, cluster, in_use())


def _say_anew(store: ImageStore, cluster: Path, digests: set[Digest]) -> None:
    if digests != uses_of(store, cluster):
        uses(store, cluster, digests)


def prune(
    store: ImageStore,
    *,
    cluster: Path | None = None,
    in_use: Callable[[], set[Digest]] = set,
    unpacked: bool = False,
) -> Freed:
    """Remove blobs and unpacked files that nothing needs (``unpacked``: files that nobody uses now, too); nothing at all while
    somebody writes to the store. ``cluster`` first says anew what is ``in_use``. Blocking."""
    with store.pruning() as may:
        if not may:
            return Freed(bytes=0, blobs=0)
        if cluster is not None:
            _say_anew(store, cluster, in_use())
        keep, layers = _reachable(store)
        folders = _needed(store, used(store)) if unpacked else keep | layers
        blobs = [p for p in (store.root / "blobs" / "sha256").glob("*") if p.name not in keep and not p.name.startswith(".")]
        freed = sum(p.stat().st_size for p in blobs)
        for blob in blobs:
            blob.unlink()
        for kind in ("layers", "rootfs"):
            for folder in (store.root / kind).glob("*"):
                if folder.name not in folders:
                    freed += tree_size(folder)
                    shutil.rmtree(folder, ignore_errors=True)
        _drop_stale(store)
    return Freed(bytes=freed, blobs=len(blobs))


def _reachable(store: ImageStore) -> tuple[set[str], set[str]]:
    """Hex digests of blobs to keep, and of layers that may lie unpacked."""
    roots: set[Digest] = used(store)
    for name, digest in store.names():
        roots |= {digest, *filter(None, [parse(name).digest])}
    keep, layers = {_hex(d) for d in roots}, set()
    for digest in roots:
        for image in _image(store, digest):
            found = {_hex(d) for d in image.layers}
            layers |= found
            keep |= found | {_hex(image.digest), _hex(store.manifest(image.digest)["config"]["digest"])}
    return keep, layers


def _needed(store: ImageStore, digests: Iterable[Digest]) -> set[str]:
    """Hex digests that name the unpacked files of images."""
    images = [image for digest in digests for image in _image(store, digest)]
    return {_hex(d) for image in images for d in (image.digest, *image.layers)}


def _image(store: ImageStore, digest: Digest) -> list[Image]:
    try:
        image = store.find(digest)
    except FailedError:  # damaged: nothing of it can be used
        return []
    return [image] if image else []


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _drop_stale(store: ImageStore) -> None:
    for file in (store.root / "ingest").glob("*"):
        if time.time() - file.stat().st_mtime > _STALE:
            file.unlink(missing_ok=True)


def tree_size(folder: Path) -> int:
    """Bytes of the files below ``folder``."""
    return sum(os.lstat(Path(place, name)).st_blocks * 512 for place, _, names in os.walk(folder) for name in names)
