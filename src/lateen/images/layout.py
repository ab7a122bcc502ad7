"""The local image store: an OCI image layout on disk, shared by every cluster of one user.

``blobs/sha256/<hex>`` is immutable and content-addressed; ``index.json`` lists one descriptor per name. A tag is a pointer
that may move; a digest never does. Written by ``images.build``; read by the node agent. Writers exclude each other by a file
lock, readers need none because every file appears by rename.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lateen.errors import FailedError
from lateen.images.reference import Digest, Reference, parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
NAME = "io.containerd.image.name"
BASE_LABEL = "dev.lateen.base"  # "host ...": the image lies on the root of the machine that built it


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: manifest digest and OCI config (``Entrypoint``, ``Cmd``, ``Env``, ``WorkingDir``, ``User``, ``Labels``)."""

    digest: Digest
    names: Sequence[str]
    size: int
    created: str
    config: Mapping[str, Any]
    layers: Sequence[Digest]


class ImageStore:
    """The layout under ``root``; unpacked root file systems are kept beside it under ``root/rootfs``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs" / "sha256"

    def blob(self, digest: Digest) -> Path:
        """Where the blob lies (whether or not it does)."""
        return self._blobs / digest.removeprefix("sha256:")

    def put_blob(self, data: bytes) -> dict[str, Any]:
        """Store bytes; the descriptor's digest and size."""
        digest = Digest("sha256:" + hashlib.sha256(data).hexdigest())
        target = self.blob(digest)
        if not target.exists():
            self._blobs.mkdir(parents=True, exist_ok=True)
            write_atomic(target, data)
        return {"digest": digest, "size": len(data)}

    def put_image(self, *, config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Image:
        """Store config and manifest over stored layers, and point ``names`` at the manifest."""
        config_blob = self.put_blob(orjson.dumps(config, option=orjson.OPT_SORT_KEYS))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **config_blob},
            "layers": list(layers),
        }
        descriptor = {"mediaType": MANIFEST, **self.put_blob(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS))}
        self._point(names, descriptor)
        return self._image(descriptor["digest"], names)

    def tag(self, names: Sequence[str], image: Image) -> None:
        """Point ``names`` at a stored image."""
        self._point(names, {"mediaType": MANIFEST, "digest": image.digest, "size": self.blob(image.digest).stat().st_size})

    def resolve(self, text: str) -> Image | None:
        """The image that a reference names: by digest if it has one, else by its tag. None if it is not here."""
        reference = parse(text)
        if reference.digest:
            return self._image(reference.digest, [text]) if self.blob(reference.digest).exists() else None
        digest = next((d for n, d in self._names() if n == str(reference)), None)
        return self._image(digest, [text]) if digest else None

    def images(self) -> list[Image]:
        """Every named image, by digest."""
        by_digest: dict[Digest, list[str]] = {}
        for name, digest in self._names():
            by_digest.setdefault(digest, []).append(name)
        return [self._image(digest, names) for digest, names in by_digest.items()]

    def rootfs(self, image: Image) -> Path:
        """The image's layers, unpacked once into a folder that nobody writes to again."""
        target = self.root / "rootfs" / image.digest.removeprefix("sha256:")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpack-"))
            try:
                for layer in image.layers:
                    unpack_layer(self.blob(layer), scratch)
                scratch.chmod(0o755)
                _rename_once(scratch, target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return target

    def _image(self, digest: Digest, names: Sequence[str]) -> Image:
        try:
            manifest = orjson.loads(self.blob(digest).read_bytes())
            config = orjson.loads(self.blob(manifest["config"]["digest"]).read_bytes())
        except (OSError, ValueError, KeyError) as error:
            raise FailedError(f"image {digest} is damaged in {self.root}: {error}; build it again") from error
        return Image(
            digest=digest,
            names=tuple(names),
            size=sum(layer["size"] for layer in manifest["layers"]),
            created=config.get("created", ""),
            config=config.get("config") or {},
            layers=tuple(Digest(layer["digest"]) for layer in manifest["layers"]),
        )

    def _names(self) -> Iterator[tuple[str, Digest]]:
        for descriptor in self._index()["manifests"]:
            if name := (descriptor.get("annotations") or {}).get(NAME):
                yield name, Digest(descriptor["digest"])

    def _index(self) -> dict[str, Any]:
        try:
            index: dict[str, Any] = orjson.loads((self.root / "index.json").read_bytes())
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        return index

    def _point(self, names: Sequence[str], descriptor: Mapping[str, Any]) -> None:
        references = [parse(name) for name in names]
        with self._locked():
            index = self._index()
            taken = {str(r) for r in references}
            kept = [m for m in index["manifests"] if (m.get("annotations") or {}).get(NAME) not in taken]
            index["manifests"] = kept + [{**descriptor, "annotations": _annotations(r)} for r in references]
            write_atomic(self.root / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            write_atomic(self.root / "index.json", orjson.dumps(index, option=orjson.OPT_INDENT_2))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _annotations(reference: Reference) -> dict[str, str]:
    return {REF_NAME: f"{reference.repository}:{reference.tag}", NAME: str(reference)}


def write_atomic(target: Path, data: bytes) -> None:
    """Write, flush to disk, rename: a reader sees the old file or the whole new one."""
    handle, scratch = tempfile.mkstemp(dir=target.parent, prefix=".write-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(0o644)
        Path(scratch).replace(target)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def unpack_layer(blob: Path, target: Path) -> None:
    """Apply one layer: whiteouts first (OCI image spec, layer.md), then its files, never outside ``target``. FailedError."""
    with tarfile.open(blob) as layer:
        members = layer.getmembers()
        for member in members:
            _whiteout(target, member.name)
        for member in members:
            if not Path(member.name).name.startswith(".wh."):
                _extract(layer, member, target)


def _extract(layer: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """One entry, owned by us. By hand, because tarfile's filters came only with Python 3.11.4; devices are left out."""
    place = target / member.name
    parent = place.parent.resolve()
    if ".." in Path(member.name).parts or not parent.is_relative_to(target.resolve()):
        raise FailedError(f"the layer has an entry outside of its root: {member.name}")
    parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        if place.is_symlink():
            place.unlink()
        place.mkdir(exist_ok=True)
        place.chmod((member.mode & 0o777) | 0o700)
        return
    if place.is_symlink() or place.exists():
        place.unlink()
    if member.issym():
        place.symlink_to(member.linkname)  # absolute ones are right in an image: they are resolved inside its root
    elif member.islnk():
        source = (target / member.linkname).resolve()
        if not source.is_relative_to(target.resolve()):
            raise FailedError(f"the layer links outside of its root: {member.name}")
        os.link(source, place)
    elif member.isreg():
        content = layer.extractfile(member)
        with place.open("wb") as file:
            if content is not None:
                shutil.copyfileobj(content, file)
        place.chmod((member.mode & 0o777) | 0o400)


def _whiteout(target: Path, name: str) -> None:
    path = Path(name)
    if not path.name.startswith(".wh."):
        return
    folder = target / path.parent
    if not folder.resolve().is_relative_to(target.resolve()):
        return
    if path.name == ".wh..wh..opq":
        victims = list(folder.iterdir()) if folder.is_dir() else []
    else:
        victims = [folder / path.name.removeprefix(".wh.")]
    for victim in victims:
        if victim.is_dir() and not victim.is_symlink():
            shutil.rmtree(victim)
        else:
            victim.unlink(missing_ok=True)


def _rename_once(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError:
        if not target.exists():  # a concurrent unpack of the same digest is the same content
            raise
