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

app = typer.Typer(no_args_is_help=True, help="Images: list, import, pull, push and remove.")


@app.command("import")
def load(
    archive: Annotated[Path, typer.Argument(help="An OCI or docker archive, a root file system tar, or - for standard input.")],
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="The image's name; repeat for several.")] = None,
    output: Output = Format.text,
) -> None:
    """Take images from an archive into the store. What has no name in it needs --tag."""
    from lateen.cli.registries import store
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
    from lateen.cli.registries import store

    _show(store().images(), output)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="Images: [registry/]name[:tag][@sha256:...].")],
    output: Output = Format.text,
) -> None:
    """Fetch images from their registries, as whom docker or podman is logged in."""
    from lateen.cli.registries import fetch, store

    _show(fetch(store(), names, note if output is Format.text else lambda _: None), output)


@app.command()
def push(
    names: Annotated[list[str], typer.Argument(help="Images of the store.")],
    destination: Annotated[str, typer.Option("--as", help="Push one image under this name.")] = "",
    output: Output = Format.text,
) -> None:
    """Give images to their registries. Blobs that a registry has are not sent again."""
    from dataclasses import asdict

    from lateen.cli.registries import give, store

    if destination and len(names) != 1:
        raise InputError(f"--as names one image, {len(names)} are to be pushed", hint="push them one by one")
    here = store()
    work = [(_found(here, name), destination or name) for name in names]
    done = give(here, work, note if output is Format.text else lambda _: None)
    if not emit([asdict(pushed) for pushed in done], output):
        for pushed in done:
            say(f"pushed {pushed.reference}")


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(help="Names as `lateen image list` shows them.")],
) -> None:
    """Remove names, and the files that nothing needs any more. What pods still use goes when they have ended."""
    from lateen.cli.registries import store
    from lateen.images.prune import prune

    here = store()
    missing = [name for name in dict.fromkeys(names) if not here.named(name)]
    gone = here.untag(names)
    for name in gone:
        say(f"removed {name}")
    freed = prune(here)
    say(f"freed {size(freed.bytes)}")
    if missing:
        raise FailedError(f"not in the store: {', '.join(missing)}; see `lateen image list`")


def _found(here: ImageStore, name: str) -> Image:
    image = here.resolve(name)
    if image is None:
        raise InputError(f"there is no image {name} in the store", hint="see `lateen image list`")
    return image


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
