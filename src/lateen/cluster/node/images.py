"""Images for the node agent, from the local image store: no registry is asked in this version. Implements ``seam.Images``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from lateen.cluster.node.seam import ImageError, LocalImage
from lateen.errors import FailedError, InputError
from lateen.images.layout import Image, ImageStore


class StoreImages:
    """``ImageStore`` as the agent wants it. Files are read in a thread; what is unpacked once is remembered by digest."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
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
        if known is not None and (known.rootfs is None or known.rootfs.exists()):
            return known
        async with self._unpacking:
            try:
                rootfs = await asyncio.to_thread(self._store.rootfs, image)
            except (OSError, FailedError) as error:
                raise ImageError("ErrImagePull", f"image {image.digest} cannot be unpacked: {error}") from error
        local = self._known[image.digest] = _local(image, rootfs)
        return local


def _local(image: Image, rootfs: Path) -> LocalImage:
    config = image.config
    return LocalImage(
        digest=image.digest,
        rootfs=rootfs,
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        env=dict(e.partition("=")[::2] for e in config.get("Env") or ()),
        workdir=config.get("WorkingDir") or "/",
        user=str(config.get("User") or ""),
    )


class HostImages:
    """Every reference is the host's own root: for tests and for programs that are installed on the machine."""

    async def ensure(self, ref: str, policy: str) -> LocalImage:
        path = os.environ.get("PATH", os.defpath)
        return LocalImage(digest="sha256:" + "0" * 64, rootfs=None, env={"PATH": path})
