"""Images for the node agent: from the local image store, or pulled into it as the pod's policy says. Implements ``seam.Images``.

What was built or imported here is the answer to its name, whatever the policy: only what came from a registry is asked for again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from lateen.aio.clock import Clock
from lateen.cluster.node.image_gc import ImageGarbage
from lateen.cluster.node.seam import ImageError, LocalImage, Pulled, Puller
from lateen.errors import FailedError, InputError
from lateen.images import layers, prune
from lateen.images.layout import BASE_LABEL, Image, ImageStore
from lateen.images.reference import Reference, parse
from lateen.images.registry import credentials
from lateen.images.registry import settings as registry_settings
from lateen.images.registry.pull import Access, pull


class StoreImages:
    """``ImageStore`` as the agent wants it. Files are read in a thread; what is unpacked once is remembered by digest.

    ``cluster`` is the cluster's folder: in its name the store keeps what pods use. ``layered``: images with a root file system of
    their own are given as layers, for a runtime that stacks them."""

    def __init__(self, store: ImageStore, *, cluster: Path, clock: Clock, registries: Path, layered: bool = False) -> None:
        self._store, self._cluster, self._clock, self._layered = store, cluster, clock, layered
        self._registries = registries
        self.garbage: ImageGarbage | None = None
        self._known: dict[tuple[str, bool], LocalImage] = {}
        self._unpacking = asyncio.Lock()
        self._pulling: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ensure(self, ref: str, policy: str, puller: Puller | None = None, *, whole: bool = False) -> LocalImage:
        try:
            reference = parse(ref)
        except InputError as error:
            message = f'Failed to apply default image tag "{ref}": couldn\'t parse image name "{ref}": invalid reference format'
            raise ImageError("InvalidImageName", message) from error
        image = await self._present(ref, policy)
        if image is not None:
            return await self._unpacked(image, whole=whole)
        if policy == "Never" or puller is None:
            raise ImageError("ErrImageNeverPull", f'Container image "{ref}" is not present with pull policy of Never')
        return await self._pull(reference, policy, puller, whole=whole)

    async def reclaim(self) -> int:
        return await self.garbage.reclaim() if self.garbage else 0

    async def _present(self, ref: str, policy: str) -> Image | None:
        """What is here and need not be asked for: with Always, only what was made or brought here. What was pulled and lacks
        something, because it was damaged, is pulled again."""
        try:
            image = await asyncio.to_thread(self._store.resolve, ref)
        except FailedError:  # damaged, too
            return None
        again = image is not None and image.pulled and (policy == "Always" or not await asyncio.to_thread(self._store.whole, image))
        return None if again else image

    async def _pull(self, reference: Reference, policy: str, puller: Puller, *, whole: bool) -> LocalImage:
        """From a registry, one pull per name at a time: who waited for another's takes that."""
        asked = self._clock.monotonic()
        turn = self._pulling.setdefault(str(reference), asyncio.Lock())
        puller.begins()
        waited = turn.locked()
        async with turn:
            began = self._clock.monotonic()
            image = await self._present(str(reference), "IfNotPresent" if waited else policy)
            try:
                image = image or await pull(self._store, reference, await self._access(puller))
            except (FailedError, InputError, OSError) as error:
                raise ImageError("ErrImagePull", str(error)) from error
        local = await self._unpacked(image, whole=whole)
        now = self._clock.monotonic()
        return replace(local, pulled=Pulled(seconds=now - began, waited=now - asked, size=image.size))

    async def _access(self, puller: Puller) -> Access:
        settings = await asyncio.to_thread(registry_settings.read, self._registries)
        keyring = credentials.of_secrets(await puller.secrets()) | await asyncio.to_thread(credentials.own)
        return Access(settings=settings, keyring=keyring, clock=self._clock)

    async def _unpacked(self, image: Image, *, whole: bool) -> LocalImage:
        known = self._known.get((image.digest, whole))
        if known is not None and await asyncio.to_thread(self._stands, known):
            return known
        async with self._unpacking:
            try:
                local = await asyncio.to_thread(self._unpack, image, whole=whole)
            except (OSError, FailedError) as error:
                raise ImageError("ErrImagePull", f"image {image.digest} cannot be unpacked: {error}") from error
        self._known[image.digest, whole] = local
        return local

    def _stands(self, known: LocalImage) -> bool:
        """Whether the files are still there, and kept for this cluster. Blocking, short."""
        kept = known.digest in prune.uses_of(self._store, self._cluster)
        return kept and all(path.exists() for path in (*known.layers, *filter(None, [known.rootfs])))

    def _unpack(self, image: Image, *, whole: bool) -> LocalImage:
        with self._store.writing():
            said = prune.uses_of(self._store, self._cluster)
            if image.digest not in said:
                prune.uses(self._store, self._cluster, {*said, image.digest})
            if self._layered and not whole and not _on_host(image):
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

    async def reclaim(self) -> int:
        return 0

    async def ensure(self, ref: str, policy: str, puller: Puller | None = None, *, whole: bool = False) -> LocalImage:
        path = os.environ.get("PATH", os.defpath)
        return LocalImage(digest="sha256:" + "0" * 64, rootfs=None, env={"PATH": path})
