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
from lateen.cli.output import emit, say, table
from lateen.errors import FailedError

if TYPE_CHECKING:
    from lateen.images.layout import Image, ImageStore

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
