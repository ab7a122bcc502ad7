"""``lateen build``: images from source."""

from __future__ import annotations

from typing import Annotated

import typer

from lateen.cli.options import Files, Format, Output
from lateen.cli.output import emit, note, table


def build(
    files: Files = None,
    base: Annotated[str, typer.Option("--base", help="Lay services on this image that name no base and no Dockerfile.")] = "",
    push: Annotated[bool, typer.Option("--push", help="Push the images to the registry that their names say.")] = False,
    output: Output = Format.text,
) -> None:
    """Build the images of every service that has source. No Docker; unchanged source is found, not built again."""
    from lateen.cli.project import build_images, load_application
    from lateen.cli.registries import give_built, store

    def tell(text: str) -> None:
        if output is Format.text:
            note(f"  {text}")

    application, here = load_application(files), store()
    built = build_images(application, here.root, tell, base=base)
    if push:
        give_built(here, built, tell)
    rows = [
        {"service": name, "image": b.reference, "size": b.image.size, "cached": b.cached, "tags": list(b.image.names)}
        for name, b in built.items()
    ]
    if not emit(rows, output):
        table(
            ["SERVICE", "DIGEST", "SIZE", ""],
            [
                [n, b.image.digest[7:19], f"{b.image.size / 1024:.0f} KiB", "unchanged" if b.cached else "built"]
                for n, b in built.items()
            ],
        )
