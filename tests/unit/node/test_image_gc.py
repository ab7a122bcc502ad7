"""Which images go when the disk fills up, and which stay whatever happens."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lateen.aio.clock import VirtualClock
from lateen.cluster.node import image_gc
from lateen.cluster.node.eviction_plan import Signal
from lateen.cluster.node.image_gc import Candidate, ImageGarbage, Thresholds, chosen
from lateen.cluster.node.images import StoreImages
from lateen.cluster.node.seam import ImageError
from lateen.errors import InputError
from lateen.images import prune
from lateen.images.layout import LAYER, Image, ImageStore
from lateen.images.reference import Digest
from lateen.kube.meta import Object

FULL, ROOMY = Signal(100, 1000), Signal(500, 1000)


class Place:
    """A store, a cluster with pods, and a disk."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock, self.cluster = ImageStore(folder / "images"), VirtualClock(), folder / "cluster"
        self.cluster.mkdir()
        self.pods: list[Object] = []
        self.said: list[tuple[str, str]] = []
        self.garbage = ImageGarbage(
            self.store,
            cluster=self.cluster,
            clock=self.clock,
            pods=lambda: self.pods,
            limits=Thresholds(),
            warn=lambda reason, message: self.said.append((reason, message)),
        )
        self.garbage.read = lambda: self.disk
        self.disk = FULL

    def image(self, name: str, *, pulled: bool = True) -> Image:
        descriptor = self.store.put_blob(gzip.compress((name.encode() * 100).ljust(1024 * 10, b"\0"), mtime=0))
        image = self.store.put_image(config={"n": name}, layers=[{"mediaType": LAYER, **descriptor}], names=[])
        self.store.tag([name], image, pulled="now" if pulled else "")
        for digest in image.layers:
            (self.store.root / "layers" / digest[7:]).mkdir(parents=True)
        return image

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    async def look(self) -> None:
        await self.garbage._look()  # one turn of its loop

    def names(self) -> set[str]:
        return {name for name, _ in self.store.names()}

    def unpacked(self) -> set[str]:
        return {p.name for p in (self.store.root / "layers").iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def pod(image: str, **status: object) -> Object:
    return {"spec": {"containers": [{"name": "a", "image": image}]}, "status": status}


def test_thresholds() -> None:
    assert image_gc.thresholds("90,70") == Thresholds(high=90, low=70)
    for wrong in ("", "90", "70,90", "90,90", "101,5", "a,b", "-1,-2"):
        with pytest.raises(InputError, match="is no pair of image thresholds"):
            image_gc.thresholds(wrong)
    limits = Thresholds()
    assert [limits.excess(Signal(left, 1000)) for left in (151, 150, 100, 0)] == [0, 50, 100, 200]
    assert limits.excess(Signal(0, 0)) == 0


def test_the_least_recently_used_goes_first_and_only_as_much_as_is_needed() -> None:
    def one(name: str, size: int, used: float, seen: float = 0.0) -> Candidate:
        image = Image(digest=Digest(name), names=[name], size=size, created="", config={}, layers=())
        return Candidate(image=image, seen=seen, used=used)

    all_of_them = [one("b", 10, 50), one("a", 10, 10), one("young", 99, 0, seen=950), one("c", 10, 60)]
    assert [i.digest for i in chosen(all_of_them, excess=15, now=1000)] == ["a", "b"]
    assert [i.digest for i in chosen(all_of_them, excess=999, now=1000)] == ["a", "b", "c"]
    assert chosen(all_of_them, excess=0, now=1000) == []


async def test_a_full_disk_loses_what_nobody_uses(place: Place, tmp_path: Path) -> None:
    used, ran, idle, built = (place.image(n, pulled=n != "built:1") for n in ("used:1", "ran:1", "idle:1", "built:1"))
    elsewhere = place.image("elsewhere:1")
    prune.uses(place.store, tmp_path, [elsewhere.digest])
    place.pods = [pod("used:1"), pod("moved:1", containerStatuses=[{"imageID": ran.digest}])]
    await place.look()
    assert "idle:1" in place.names()  # too young
    assert place.said.pop()[0] == "FreeDiskSpaceFailed"
    await place.pass_time(200)
    place.disk = ROOMY
    await place.look()
    assert "idle:1" in place.names()
    place.disk = FULL
    await place.look()
    assert place.names() == {"used:1", "ran:1", "built:1", "elsewhere:1"}
    assert not place.store.blob(idle.digest).exists()
    assert not place.store.blob(idle.layers[0]).exists()
    assert place.store.blob(built.layers[0]).exists()  # nobody could bring it again
    assert place.unpacked() == {i.layers[0][7:] for i in (used, ran, elsewhere)}
    assert place.said == []


async def test_pods_that_have_gone_are_forgotten(place: Place) -> None:
    image = place.image("a:1")
    prune.uses(place.store, place.cluster, [image.digest])
    place.pods = [pod("a:1")]
    place.disk = ROOMY
    await place.look()
    assert prune.uses_of(place.store, place.cluster) == {image.digest}
    place.pods = []
    await place.pass_time(130)
    await place.look()
    assert prune.uses_of(place.store, place.cluster) == set()
    assert await place.garbage.reclaim() > 0
    assert place.names() == set()


async def test_while_somebody_writes_nothing_goes(place: Place) -> None:
    place.image("a:1")
    with place.store.writing():
        await place.look()
        await place.pass_time(200)
        await place.look()
    assert place.unpacked()
    await place.look()
    assert not place.unpacked()


def test_layers_in_use_are_found_by_their_links(place: Place) -> None:
    image = place.image("a:1")
    folder = place.cluster / "nodes/n/pods/u/volumes"
    folder.mkdir(parents=True)
    (folder / "data").symlink_to(place.store.root / "rootfs" / image.digest[7:])
    assert image_gc.mounted(place.store, place.cluster) == {image.digest}


async def test_what_was_damaged_is_pulled_again_and_what_is_used_is_claimed_again(place: Place, tmp_path: Path) -> None:
    image = place.image("127.0.0.1:1/a:1")
    images = StoreImages(place.store, cluster=place.cluster, clock=place.clock, registries=tmp_path / "none", layered=True)
    first = await images.ensure("127.0.0.1:1/a:1", "IfNotPresent")
    assert prune.uses_of(place.store, place.cluster) == {image.digest}
    prune.uses(place.store, place.cluster, [])
    assert (await images.ensure("127.0.0.1:1/a:1", "IfNotPresent")).layers == first.layers
    assert prune.uses_of(place.store, place.cluster) == {image.digest}
    place.store.blob(image.layers[0]).unlink()
    with pytest.raises(ImageError) as caught:
        await images.ensure("127.0.0.1:1/a:1", "Never")
    assert caught.value.reason == "ErrImageNeverPull"
