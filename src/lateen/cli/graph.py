"""``lateen graph``: who calls whom, with the findings of ``lateen check`` on it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lateen.cli.output import note, say


class Picture(StrEnum):
    """How to draw."""

    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"


def graph(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files or folders, as for `lateen check`. Default: lateen.yaml, else this folder.")
    ] = None,
    form: Annotated[Picture, typer.Option("--output", "-o", help="mermaid, dot or svg.")] = Picture.mermaid,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Write to this file.")] = None,
    profile: Annotated[str, typer.Option(help="Which findings to show, as for `lateen check`.")] = "",
    env: Annotated[str, typer.Option("--env", help="The environment of the application file.")] = "",
) -> None:
    """Draw the services, the calls between them, and what `lateen check` finds on them."""
    from lateen.check import all_checks, picture, run
    from lateen.cli import checking
    from lateen.cli.check import default_paths

    settings = checking.configuration(None, profile=profile, select=(), ignore=())
    world = checking.world_of([Path(p) for p in paths or default_paths()], settings, environment=env)
    drawn = picture.picture(world, run(world, all_checks(), settings).findings)
    text = {Picture.mermaid: picture.mermaid, Picture.dot: picture.dot, Picture.svg: picture.svg}[form](drawn)
    if file is None:
        say(text.rstrip())
    else:
        file.write_text(text)
        note(f"{len(drawn.boxes)} services and {len(drawn.arrows)} calls drawn into {file}")
