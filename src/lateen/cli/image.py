"""``lateen image``: what lies in the image store, and its ways in and out."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lateen.cli.options import Format, Output
from lateen.cli.output import emit, note, say, table
from lateen.errors import FailedError, InputError

if TYPE_CHECKING:
    from lateen.images.layout import Image, ImageStore
    from lateen.images.registry.pull import Access

app = typer.Typer(no_args_is_help=True, help="Images: list, import, pull, push and remove.")


def store() -> ImageStore:
    """The store that every cluster of this user shares."""
    from lateen.images.layout import ImageStore
    from lateen.server import home

    return ImageStore(home.home() / "images")


@app.command("import")
def load(
    archive: Annotated[Path, typer.Argument(help="An OCI or docker archive, a root file system tar, or - for standard input.")],
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="The image's name; repeat for several.")] = None,
    output: Output = Format.text,
) -> None:
    """Take images from an archive into the store. What has no name in it needs --tag."""
    from lateen.images.archive import load

    if str(archive) != "-":
        images = load(store(), archive, tag or ())
    else:
        with tempfile.NamedTemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
            images = load(store(), Path(copy.name), tag or ())
    _show(images, output)


@app.command("list")
def list_images(output: Output = Format.text) -> None:
    """List the images of the store."""
    _show(store().images(), output)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="Images: [registry/]name[:tag][@sha256:...].")],
    output: Output = Format.text,
) -> None:
    """Fetch images from their registries, as whom docker or podman is logged in."""
    import asyncio

    from lateen.images.reference import parse
    from lateen.images.registry.pull import pull

    references, here, access = [parse(name) for name in names], store(), access_to_registries()
    tell = note if output is Format.text else lambda _: None

    async def all_of_them() -> list[Image]:
        return [await pull(here, reference, access, tell) for reference in references]

    _show(asyncio.run(all_of_them()), output)


@app.command()
def push(
    names: Annotated[list[str], typer.Argument(help="Images of the store.")],
    destination: Annotated[str, typer.Option("--as", help="Push one image under this name.")] = "",
    output: Output = Format.text,
) -> None:
    """Give images to their registries. Blobs that a registry has are not sent again."""
    import asyncio
    from dataclasses import asdict

    from lateen.images.reference import parse
    from lateen.images.registry.push import Pushed, push

    if destination and len(names) != 1:
        raise InputError(f"--as names one image, {len(names)} are to be pushed", hint="push them one by one")
    here, access = store(), access_to_registries()
    work = [(_found(here, name), parse(destination or name)) for name in names]
    tell = note if output is Format.text else lambda _: None

    async def all_of_them() -> list[Pushed]:
        return [await push(here, image, reference, access, tell) for image, reference in work]

    done = asyncio.run(all_of_them())
    if not emit([asdict(pushed) for pushed in done], output):
        for pushed in done:
            say(f"pushed {pushed.reference}")


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(help="Names as `lateen image list` shows them.")],
) -> None:
    """Remove names, and the files that nothing needs any more. What pods still use goes when they have ended."""
    from lateen.images.prune import prune

    here = store()
    gone = here.untag(names)
    for name in gone:
        say(f"removed {name}")
    freed = prune(here)
    say(f"freed {size(freed.bytes)}")
    if len(gone) < len(set(names)):
        raise FailedError(f"{len(set(names)) - len(gone)} of the names are not in the store; see `lateen image list`")


def _found(here: ImageStore, name: str) -> Image:
    image = here.resolve(name)
    if image is None:
        raise InputError(f"there is no image {name} in the store", hint="see `lateen image list`")
    return image


def access_to_registries() -> Access:
    """Registries as this user's files describe them."""
    from lateen.images.registry import credentials, settings
    from lateen.images.registry.pull import Access
    from lateen.server import home

    return Access(settings=settings.read(home.home() / "registries.yaml"), keyring=credentials.own())


def _show(images: Sequence[Image], output: Format) -> None:
    if not emit([row(image) for image in images], output):
        lines = sorted([name, i.digest[7:19], size(i.size), i.created[:10]] for i in images for name in i.names)
        table(["NAME", "DIGEST", "SIZE", "CREATED"], lines)


def row(image: Image) -> dict[str, Any]:
    """An image for programs."""
    return {"names": list(image.names), "digest": image.digest, "size": image.size, "created": image.created}


def size(count: int) -> str:
    """Bytes for people."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if value >= 10 or units[0] == "B" else f"{value:.1f} {units[0]}"
