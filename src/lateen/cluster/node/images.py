"""Images for the node agent, from the local image store: no registry is asked in this version. Implements ``seam.Images``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from lateen.cluster.node.seam import ImageError, LocalImage
from lateen.errors import FailedError, InputError
from lateen.images import layers, prune
from lateen.images.layout import BASE_LABEL, Image, ImageStore


class StoreImages:
    """``ImageStore`` as the agent wants it. Files are read in a thread; what is unpacked once is remembered by digest.

    ``cluster`` is the cluster's folder: in its name the store keeps what pods use. ``layered``: images with a root file system of
    their own are given as layers, for a runtime that stacks them."""

    def __init__(self, store: ImageStore, *, cluster: Path, layered: bool = False) -> None:
        self._store, self._cluster, self._layered = store, cluster, layered
        self._known: dict[str, LocalImage] = {}
        self._unpacking = asyncio.Lock()

    async def ensure(self, ref: str, policy: str) -> LocalImage:
        try:
            image = await asyncio.to_thread(self._store.resolve, ref)
        except InputError as error:
            raise ImageError("InvalidImageName", f'Failed to apply default image tag "{ref}": {error.message}') from error
        except FailedError as error:
            raise ImageError("ErrImagePull", str(error)) from error
        if image is None:
            if policy == "Never":
                raise ImageError("ErrImageNeverPull", f'Container image "{ref}" is not present with pull policy of Never')
            raise ImageError(
                "ErrImagePull",
                f'image "{ref}" is not in the local store {self._store.root}, and this runtime pulls from no registry: '
                "build it with `lateen build`, or load it there",
            )
        return await self._unpacked(image)

    async def _unpacked(self, image: Image) -> LocalImage:
        known = self._known.get(image.digest)
        if known is not None and all(path.exists() for path in (*known.layers, *filter(None, [known.rootfs]))):
            return known
        async with self._unpacking:
            try:
                local = await asyncio.to_thread(self._unpack, image)
            except (OSError, FailedError) as error:
                raise ImageError("ErrImagePull", f"image {image.digest} cannot be unpacked: {error}") from error
        self._known[image.digest] = local
        return local

    def _unpack(self, image: Image) -> LocalImage:
        with self._store.writing():
            said = prune.uses_of(self._store, self._cluster)
            if image.digest not in said:
                prune.uses(self._store, self._cluster, {*said, image.digest})
            return self._on_disk(image)

    def _on_disk(self, image: Image) -> LocalImage:
        if self._layered and not _on_host(image):
            return _local(image, None, layers.unpacked(self._store, image))
        return _local(image, self._store.rootfs(image), ())


def _on_host(image: Image) -> bool:
    """Whether the image lies on the root of the machine that built it."""
    return str((image.config.get("Labels") or {}).get(BASE_LABEL) or "").startswith("host ")


def _local(image: Image, rootfs: Path | None, unpacked: Sequence[Path]) -> LocalImage:
    config = image.config
    return LocalImage(
        digest=image.digest,
        rootfs=rootfs,
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        env=dict(e.partition("=")[::2] for e in config.get("Env") or ()),
        workdir=config.get("WorkingDir") or "/",
        user=str(config.get("User") or ""),
        layers=unpacked,
        stop_signal=str(config.get("StopSignal") or ""),
    )


class HostImages:
    """Every reference is the host's own root: for tests and for programs that are installed on the machine."""

    async def ensure(self, ref: str, policy: str) -> LocalImage:
        path = os.environ.get("PATH", os.defpath)
        return LocalImage(digest="sha256:" + "0" * 64, rootfs=None, env={"PATH": path})
