"""Images from files: OCI archives and layouts, docker archives, plain root file system tars. Called by ``lateen image import``.

Every blob of an OCI archive is checked against its digest. Layers of a docker archive and root file systems are stored as they are.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from lateen.errors import FailedError, InputError
from lateen.images import platform
from lateen.images.blobs import BlobWriter
from lateen.images.layout import LAYER, NAME, REF_NAME, Image, ImageStore
from lateen.images.reference import Digest, checked_digest, parse

_PIECE = 1 << 20
_PLAIN = "application/vnd.oci.image.layer.v1.tar"


class _Files(Protocol):
    """The members of an archive or a folder, by name."""

    def has(self, name: str) -> bool: ...

    def open(self, name: str) -> IO[bytes]: ...


def load(store: ImageStore, path: Path, tags: Sequence[str] = ()) -> list[Image]:
    """Import what ``path`` holds; ``tags`` name it (only if it is one image), or else its own names do. InputError, FailedError."""
    for tag in tags:
        parse(tag)
    try:
        with store.writing(), _opened(path) as files:
            if files.has("index.json") and files.has("oci-layout"):
                return _named(store, _from_layout(store, files), tags, path)
            if files.has("manifest.json"):
                return _named(store, _from_docker(store, files), tags, path)
            if path.is_dir():
                raise InputError(f"{path} is a folder but no OCI layout", hint="import a tar archive of it as a root file system")
            return _named(store, [(_from_root(store, path), [])], tags, path)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is not an archive that can be read: {error}", hint="a tar, plain or compressed") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not an image archive that can be understood: {error!r}") from error
    except FileNotFoundError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from error


def _named(store: ImageStore, found: Sequence[tuple[Image, Sequence[str]]], tags: Sequence[str], path: Path) -> list[Image]:
    if tags and len(found) != 1:
        raise InputError(f"{path} holds {len(found)} images: --tag can name only one", hint="import without --tag")
    named = []
    for image, own in found:
        names = [str(parse(name)) for name in (tags or own)]
        if not names:
            raise InputError(f"the image in {path} has no name", hint="give it one with --tag NAME")
        store.tag(names, image)
        named.append(replace(image, names=tuple(names)))
    return named


# OCI


def _from_layout(store: ImageStore, files: _Files) -> list[tuple[Image, list[str]]]:
    index = orjson.loads(_read(files, "index.json"))
    found: dict[Digest, list[str]] = {}
    for descriptor in index["manifests"]:
        digest = _copy_manifest(store, files, descriptor)
        found.setdefault(digest, []).extend(_own_names(descriptor.get("annotations") or {}))
    return [(_stored(store, digest), names) for digest, names in found.items()]


def _copy_manifest(store: ImageStore, files: _Files, descriptor: Mapping[str, Any]) -> Digest:
    """Copy a manifest with all it needs; of a list, the one for this machine."""
    digest = Digest(descriptor["digest"])
    data = _read(files, _place(digest))
    if store.put_blob(data)["digest"] != digest:
        raise FailedError(f"failed to verify {digest}: the archive holds other content")
    manifest = orjson.loads(data)
    if "manifests" in manifest:
        return _copy_manifest(store, files, platform.choose(manifest))
    for needed in (manifest["config"], *manifest["layers"]):
        if not store.blob(needed["digest"]).exists():
            with files.open(_place(needed["digest"])) as content, BlobWriter(store, needed["digest"]) as blob:
                blob.restart()
                _pour(content, blob)
                blob.commit()
    return digest


def _place(digest: str) -> str:
    return f"blobs/sha256/{checked_digest(digest).removeprefix('sha256:')}"


def _own_names(annotations: Mapping[str, str]) -> list[str]:
    """A full name; a bare tag (which is what many tools write) is none."""
    if name := annotations.get(NAME):
        return [name]
    name = annotations.get(REF_NAME, "")
    return [name] if ":" in name or "/" in name else []


# docker save


def _from_docker(store: ImageStore, files: _Files) -> list[tuple[Image, list[str]]]:
    return [
        (_docker_image(store, files, entry), entry.get("RepoTags") or []) for entry in orjson.loads(_read(files, "manifest.json"))
    ]


def _docker_image(store: ImageStore, files: _Files, entry: Mapping[str, Any]) -> Image:
    config = orjson.loads(_read(files, entry["Config"]))
    layers = []
    for name, diff in zip(entry["Layers"], config["rootfs"]["diff_ids"], strict=True):
        with files.open(name) as content:
            descriptor, found = _put_layer(store, content)
        if found != diff:
            raise FailedError(f"failed to verify the layer {name}: its content is {found}, the image says {diff}")
        layers.append(descriptor)
    return store.put_image(config=config, layers=layers, names=[])


# A root file system


def _from_root(store: ImageStore, path: Path) -> Image:
    with path.open("rb") as content:
        descriptor, diff = _put_layer(store, content)
    config = {
        "created": "1970-01-01T00:00:00Z",
        "architecture": platform.architecture(),
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created_by": "lateen image import"}],
    }
    return store.put_image(config=config, layers=[descriptor], names=[])


def _put_layer(store: ImageStore, content: IO[bytes]) -> tuple[dict[str, Any], str]:
    """Store a layer, gzip'd or plain; its descriptor and the digest of the plain tar."""
    with BlobWriter(store) as blob:
        _pour(content, blob)
        digest, size = blob.commit(), blob.size
    with store.blob(digest).open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return {"mediaType": LAYER if zipped else _PLAIN, "digest": digest, "size": size}, _plain_digest(store.blob(digest), zipped)


def _plain_digest(path: Path, zipped: bool) -> str:
    total = hashlib.sha256()
    with gzip.open(path) if zipped else path.open("rb") as file:
        while piece := file.read(_PIECE):
            total.update(piece)
    return "sha256:" + total.hexdigest()


# Files


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _Folder(path)
    else:
        with tarfile.open(path) as tar:
            yield _Tar(tar)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def open(self, name: str) -> IO[bytes]:
        place = self.path / name
        if not place.resolve().is_relative_to(self.path.resolve()):
            raise FailedError(f"the layout names a file outside of itself: {name}")
        return place.open("rb")


class _Tar:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {m.name.removeprefix("./"): m for m in tar if m.isreg() or m.issym() or m.islnk()}

    def has(self, name: str) -> bool:
        return name in self._members

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(name)
        content = self._tar.extractfile(member) if member else None
        if content is None:
            raise FailedError(f"the archive lacks {name}")
        return content


def _read(files: _Files, name: str) -> bytes:
    with files.open(name) as file:
        return file.read()


def _pour(content: IO[bytes], blob: BlobWriter) -> None:
    while piece := content.read(_PIECE):
        blob.write(piece)


def _stored(store: ImageStore, digest: Digest) -> Image:
    image = store.find(digest)
    assert image is not None  # just copied
    return image
