"""Registries for commands: as whom and how this user reaches them; bases fetched before a build, images given away after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lateen.errors import FailedError, InputError

if TYPE_CHECKING:
    from lateen.images.build import Built
    from lateen.images.layout import Image, ImageStore
    from lateen.images.registry.pull import Access
    from lateen.images.registry.push import Pushed

Progress = Callable[[str], None]


def store() -> ImageStore:
    """The store that every cluster of this user shares."""
    from lateen.images.layout import ImageStore
    from lateen.server import home

    return ImageStore(home.home() / "images")


def access() -> Access:
    """Registries as this user's files describe them."""
    from lateen.images.registry import credentials, settings
    from lateen.images.registry.pull import Access
    from lateen.server import home

    return Access(settings=settings.read(home.home() / "registries.yaml"), keyring=credentials.own())


def fetch(here: ImageStore, names: Sequence[str], progress: Progress) -> list[Image]:
    """Pull images. InputError, FailedError."""
    from lateen.images.reference import parse
    from lateen.images.registry.pull import pull

    references, how = [parse(name) for name in names], access()

    async def all_of_them() -> list[Image]:
        return [await pull(here, reference, how, progress) for reference in references]

    return asyncio.run(all_of_them())


def fetch_missing(here: ImageStore, names: Iterable[str], progress: Progress) -> None:
    """Pull what is not in the store, whole."""
    if missing := [name for name in dict.fromkeys(names) if not _whole(here, name)]:
        progress(f"fetching {', '.join(missing)}")
        fetch(here, missing, progress)


def _whole(here: ImageStore, name: str) -> bool:
    try:
        image = here.resolve(name)
    except FailedError:  # damaged
        return False
    return image is not None and all(here.blob(layer).exists() for layer in image.layers)


def give(here: ImageStore, work: Sequence[tuple[Image, str]], progress: Progress) -> list[Pushed]:
    """Push images under names. InputError, FailedError."""
    from lateen.images.reference import parse
    from lateen.images.registry.push import push

    references, how = [(image, parse(name)) for image, name in work], access()

    async def all_of_them() -> list[Pushed]:
        return [await push(here, image, reference, how, progress) for image, reference in references]

    return asyncio.run(all_of_them())


def give_built(here: ImageStore, built: Mapping[str, Built], progress: Progress) -> None:
    """Push what was built, under every name it has; those on this machine's root only with a word of warning."""
    from lateen.images.layout import BASE_LABEL
    from lateen.images.reference import parse

    for service, b in built.items():
        if not parse(b.reference).hosted:
            raise InputError(
                f"the image of service {service}, {b.reference.partition('@')[0]}, names no registry",
                hint="set registry: registry.example.com/team in the application file, or image beside build",
            )
        if str((b.image.config.get("Labels") or {}).get(BASE_LABEL) or "").startswith("host "):
            progress(f"note: {service} lies on the root of this machine and runs nowhere else; give it a base (build.base, --base)")
    give(here, [(b.image, name) for b in built.values() for name in b.image.names], progress)
