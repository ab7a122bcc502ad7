"""``lateen build``: images from source."""

from __future__ import annotations

from lateen.cli.options import Files, Format, Output
from lateen.cli.output import emit, note, table


def build(files: Files = None, output: Output = Format.text) -> None:
    """Build the images of every service that has source. No Docker; unchanged source is found, not built again."""
    from lateen.cli.project import build_images, load_application
    from lateen.server import home

    application = load_application(files)
    built = build_images(application, home.home() / "images", lambda text: note(f"  {text}") if output is Format.text else None)
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
