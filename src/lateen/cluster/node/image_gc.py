"""Removes images that no pod uses when the disk fills up, as the kubelet does: from the high threshold down to the low one.

Run once per cluster by ``boot``; the evictor asks it to free what it can before it puts pods out. Only what was pulled goes,
because only that can be had again; of other images it drops unpacked files that nobody uses. What other clusters use stays.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lateen.aio.clock import Clock
from lateen.cluster.node.eviction_plan import Signal
from lateen.errors import FailedError, InputError, LateenError
from lateen.images import prune
from lateen.images.layout import Image, ImageStore
from lateen.images.reference import Digest
from lateen.kube.meta import Object

log = logging.getLogger(__name__)
EVERY = 300.0
LEAST_AGE = 120.0  # seconds since it was first seen, or last used
DEFAULT = "85,80"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Shares of the disk in percent: collection begins at ``high`` and ends at ``low``."""

    high: int = 85
    low: int = 80

    def excess(self, disk: Signal) -> int:
        """Bytes to free now."""
        if disk.capacity <= 0 or (disk.capacity - disk.available) * 100 < disk.capacity * self.high:
            return 0
        return max(0, disk.capacity * (100 - self.low) // 100 - disk.available)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An image that nobody uses; times are monotonic, ``used`` is when it was last."""

    image: Image
    seen: float
    used: float


def thresholds(text: str) -> Thresholds:
    """``HIGH,LOW`` in percent; 100 as the high one turns collection off. InputError."""
    high, _, low = text.partition(",")
    if not (high.strip().isdigit() and low.strip().isdigit()) or not 0 <= int(low) < int(high) <= 100:
        raise InputError(f"{text!r} is no pair of image thresholds", hint=f"write HIGH,LOW in percent, like {DEFAULT}")
    return Thresholds(high=int(high), low=int(low))


def chosen(candidates: Iterable[Candidate], *, excess: int, now: float) -> list[Image]:
    """What goes to free ``excess`` bytes: the least recently used first, nothing that is young."""
    found: list[Image] = []
    for candidate in sorted(candidates, key=lambda c: (c.used, c.seen)):
        if sum(image.size for image in found) >= excess:
            break
        if now - max(candidate.used, candidate.seen) >= LEAST_AGE:
            found.append(candidate.image)
    return found


class ImageGarbage:
    """``pods`` are those of this cluster's real nodes; ``read`` measures the store's disk, blocking; ``warn`` writes an event
    (reason, message) on the nodes."""

    def __init__(
        self,
        store: ImageStore,
        *,
        cluster: Path,
        clock: Clock,
        pods: Callable[[], Sequence[Object]],
        limits: Thresholds,
        warn: Callable[[str, str], None] = lambda reason, message: None,
    ) -> None:
        self._store, self._cluster, self._clock = store, cluster, clock
        self._pods, self._limits, self._warn = pods, limits, warn
        self.read: Callable[[], Signal] = lambda: disk_of(store.root)
        self._seen: dict[Digest, float] = {}
        self._used: dict[Digest, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._clock.sleep(EVERY)
            try:
                await self._look()
            except (LateenError, OSError) as error:
                log.warning("images could not be collected: %s", error)
                self._warn("ImageGCFailed", str(error))

    async def reclaim(self) -> int:
        """Free whatever can be; the bytes."""
        return await asyncio.to_thread(self._collect, None, list(self._pods()))

    async def _look(self) -> None:
        disk = await asyncio.to_thread(self.read)
        excess = self._limits.excess(disk)
        freed = await asyncio.to_thread(self._collect, excess, list(self._pods()))
        if freed < excess:
            message = f"Attempted to free {excess} bytes, but only found {freed} bytes eligible to free."
            self._warn("FreeDiskSpaceFailed", f"Failed to garbage collect required amount of images. {message}")

    def _collect(self, excess: int | None, pods: Sequence[Object]) -> int:
        """Note who is used; remove images worth ``excess`` bytes (None: all that may go). Blocking."""
        if not self._store.root.exists():
            return 0
        now, images = self._clock.monotonic(), self._store.images()
        ending = {digest for digest, at in self._used.items() if now - at < LEAST_AGE}  # its pod may be, for a moment

        def in_use() -> set[Digest]:
            return self._in_use(pods) | ending

        mine = in_use()
        busy = mine | prune.used(self._store, but=self._cluster)
        for image in images:
            self._seen.setdefault(image.digest, now)
        self._used |= dict.fromkeys(busy - ending, now)
        if excess == 0:
            prune.settle(self._store, self._cluster, in_use)
            return 0
        idle = [i for i in images if i.digest not in busy and i.pulled]
        candidates = [Candidate(image=i, seen=self._seen[i.digest], used=self._used.get(i.digest, 0.0)) for i in idle]
        going = chosen(candidates, excess=sum(i.size for i in idle) + 1 if excess is None else excess, now=now)
        for image in going:
            log.info("image %s goes: nobody uses it and the disk fills up", ", ".join(image.names))
            self._store.untag(image.names)
        return prune.prune(self._store, cluster=self._cluster, in_use=in_use, unpacked=True).bytes

    def _in_use(self, pods: Iterable[Object]) -> set[Digest]:
        """Images of pods that are not deleted: those that run, and those that would be started. Blocking."""
        found: set[Digest] = set()
        for ref in {ref for pod in pods for ref in references(pod)}:
            if ref.startswith("sha256:"):
                found.add(Digest(ref))
                continue
            try:
                image = self._store.resolve(ref)
            except (FailedError, InputError):  # damaged, or no reference
                continue
            found |= {image.digest} if image else set()
        return found | mounted(self._store, self._cluster)


def references(pod: Object) -> set[str]:
    """Names and digests of a pod's images."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    kinds = ("initContainers", "containers", "ephemeralContainers")
    states = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    named = {c.get("image") or "" for kind in kinds for c in spec.get(kind) or ()}
    named |= {(v.get("image") or {}).get("reference") or "" for v in spec.get("volumes") or ()}
    ran = {str(s.get("imageID") or "").rpartition("@")[2] for kind in states for s in status.get(kind) or ()}
    return {ref for ref in named | ran if ref}


def mounted(store: ImageStore, cluster: Path) -> set[Digest]:
    """Images that are volumes of pods: links in the pods' folders lead to them."""
    links = [p for p in cluster.glob("nodes/*/pods/*/volumes/*") if p.is_symlink()]
    targets = [link.readlink() for link in links]
    return {Digest(f"sha256:{t.name}") for t in targets if t.parent == store.root / "rootfs"}


def disk_of(folder: Path) -> Signal:
    """What is left of the disk that holds ``folder``. Blocking, short."""
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    return Signal(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
