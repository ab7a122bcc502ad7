"""The local image store: an OCI image layout on disk, shared by every cluster of one user.

``blobs/sha256/<hex>`` is immutable and content-addressed; ``index.json`` lists one descriptor per name. A tag is a pointer
that may move; a digest never does. Written by ``images.build`` and ``archive``; read by the node agent; ``prune`` removes.
Writers of the index exclude each other by a file lock, readers need none because every file appears by rename. Whoever puts
blobs that no name points to yet is inside ``writing()``, so that nobody takes them for garbage.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from lateen.errors import FailedError
from lateen.images import platform
from lateen.images.reference import Digest, Reference, parse
from lateen.images.unpack import unpack

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"
LISTS = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
REF_NAME = "org.opencontainers.image.ref.name"
NAME = "io.containerd.image.name"
PULLED = "dev.lateen.pulled"  # on a name that came from a registry: when
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
    pulled: bool = False  # every name of it came from a registry; otherwise it was made or brought here


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

    def verified(self, digest: Digest) -> Path:
        """The blob's file, whose content was just read and is what the digest says. FailedError: it was not, and is gone now."""
        path = self.blob(digest)
        try:
            with path.open("rb") as file:
                right = hashlib.file_digest(file, "sha256").hexdigest() == path.name
        except FileNotFoundError as error:
            raise FailedError(f"blob {digest} is missing in {self.root}; pull, import or build the image again") from error
        if not right:
            path.unlink(missing_ok=True)
            raise FailedError(f"blob {digest} in {self.root} was damaged and is removed; pull, import or build the image again")
        return path

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

    def tag(self, names: Sequence[str], image: Image, *, pulled: str = "") -> None:
        """Point ``names`` at a stored image; ``pulled`` is when, if a registry said so."""
        data = self.blob(image.digest).read_bytes()
        kind = orjson.loads(data).get("mediaType", MANIFEST)
        self._point(names, {"mediaType": kind, "digest": image.digest, "size": len(data)}, {PULLED: pulled} if pulled else {})

    def named(self, name: str) -> bool:
        """Whether an image goes by this name."""
        wanted = _full(parse(name))
        return any((n := _name(m)) and _full(parse(n)) == wanted for m in self._index()["manifests"])

    def untag(self, names: Sequence[str]) -> list[str]:
        """Forget names; those that were known. What nothing points to any more stays until ``prune``."""
        wanted = {_full(parse(name)) for name in names}
        with self._locked():
            index = self._index()
            gone = [n for m in index["manifests"] if (n := _name(m)) and _full(parse(n)) in wanted]
            index["manifests"] = [m for m in index["manifests"] if _name(m) not in gone]
            if gone:
                self._write_index(index)
        return gone

    def find(self, digest: Digest) -> Image | None:
        """The image of a manifest, or of the manifest for this machine in a list of them. None if it is not here."""
        return self._image(digest, ()) if self.blob(digest).exists() else None

    def resolve(self, text: str) -> Image | None:
        """The image that a reference names: by digest if it has one, else by its tag. None if it is not here."""
        reference = parse(text)
        full = _full(reference)
        found = next((m for m in self._index()["manifests"] if (n := _name(m)) and _full(parse(n)) == full), None)
        digest = Digest(reference.digest or (found["digest"] if found else ""))
        if not digest or not self.blob(digest).exists():
            return None
        image = self._image(digest, [text])
        return replace(image, pulled=True) if found and PULLED in found["annotations"] else image

    def whole(self, image: Image) -> bool:
        """Whether all its layers are here."""
        return all(self.blob(layer).exists() for layer in image.layers)

    def images(self) -> list[Image]:
        """Every named image, by digest."""
        by_digest: dict[Digest, dict[str, bool]] = {}
        for m in self._index()["manifests"]:
            if name := _name(m):
                by_digest.setdefault(Digest(m["digest"]), {})[name] = PULLED in m["annotations"]
        return [replace(self._image(d, list(names)), pulled=all(names.values())) for d, names in by_digest.items()]

    def rootfs(self, image: Image) -> Path:
        """The image's layers, unpacked once into a folder that nobody writes to again."""
        target = self.root / "rootfs" / image.digest.removeprefix("sha256:")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpack-"))
            try:
                for layer in image.layers:
                    unpack(self.verified(layer), scratch, stacked=False)
                scratch.chmod(0o755)
                _rename_once(scratch, target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return target

    def manifest(self, digest: Digest) -> dict[str, Any]:
        """A stored JSON document, checked. FailedError: it is not there, or damaged."""
        data = self._checked(digest)
        document: dict[str, Any] = orjson.loads(data)
        return document

    def _checked(self, digest: Digest) -> bytes:
        try:
            data = self.blob(digest).read_bytes()
        except OSError as error:
            raise FailedError(f"image {digest} is damaged in {self.root}: {error}; pull, import or build it again") from error
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            self.blob(digest).unlink(missing_ok=True)
            raise FailedError(f"image {digest} was damaged in {self.root} and is removed; pull, import or build it again")
        return data

    def _image(self, digest: Digest, names: Sequence[str]) -> Image:
        try:
            manifest = self.manifest(digest)
            if "manifests" in manifest:
                digest = Digest(platform.choose(manifest)["digest"])
                manifest = self.manifest(digest)
            config = self.manifest(manifest["config"]["digest"])
        except (ValueError, KeyError, TypeError) as error:
            raise FailedError(f"image {digest} is damaged in {self.root}: {error!r}; pull, import or build it again") from error
        return Image(
            digest=digest,
            names=tuple(names),
            size=sum(layer["size"] for layer in manifest["layers"]),
            created=config.get("created", ""),
            config=config.get("config") or {},
            layers=tuple(Digest(layer["digest"]) for layer in manifest["layers"]),
        )

    def names(self) -> list[tuple[str, Digest]]:
        """Every name, and the manifest it points to."""
        return [(name, Digest(m["digest"])) for m in self._index()["manifests"] if (name := _name(m))]

    def _index(self) -> dict[str, Any]:
        try:
            index: dict[str, Any] = orjson.loads((self.root / "index.json").read_bytes())
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        return index

    def _point(self, names: Sequence[str], descriptor: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> None:
        references = [parse(name) for name in names]
        with self._locked():
            index = self._index()
            taken = {_full(r) for r in references}
            kept = [m for m in index["manifests"] if not (n := _name(m)) or _full(parse(n)) not in taken]
            index["manifests"] = kept + [{**descriptor, "annotations": {**_annotations(r), **(notes or {})}} for r in references]
            self._write_index(index)

    def _write_index(self, index: Mapping[str, Any]) -> None:
        if self._blobs.exists():
            _sync_folder(self._blobs)  # a name must not outlive a crash that its blobs do not
        write_atomic(self.root / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        write_atomic(self.root / "index.json", orjson.dumps(index, option=orjson.OPT_INDENT_2))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """While blobs are put that no name points to yet: nothing is pruned meanwhile."""
        with self._flock(".writing", fcntl.LOCK_SH):
            yield

    @contextmanager
    def pruning(self) -> Iterator[bool]:
        """Whether blobs may be removed now: nobody is writing, and nobody begins to until this ends."""
        try:
            with self._flock(".writing", fcntl.LOCK_EX | fcntl.LOCK_NB), self._locked():
                yield True
        except BlockingIOError:
            yield False

    @contextmanager
    def _flock(self, name: str, how: int) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / name).open("w") as lock:
            fcntl.flock(lock, how)
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._flock(".lock", fcntl.LOCK_EX):
            yield


def _name(descriptor: Mapping[str, Any]) -> str:
    return str((descriptor.get("annotations") or {}).get(NAME) or "")


def _full(reference: Reference) -> str:
    """The one spelling of a name: nginx is docker.io/library/nginx:latest."""
    end = f"@{reference.digest}" if reference.digest else f":{reference.tag}"
    return f"{reference.registry}/{reference.path}{end}"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _annotations(reference: Reference) -> dict[str, str]:
    where = f":{reference.tag}" if reference.tag else f"@{reference.digest}"
    return {REF_NAME: f"{reference.repository}{where}", NAME: str(reference)}


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


def _rename_once(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError:
        if not target.exists():  # a concurrent unpack of the same digest is the same content
            raise
