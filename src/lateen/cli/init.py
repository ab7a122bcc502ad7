"""``lateen init``: a first application file for the source in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lateen.cli.options import Format, Output
from lateen.cli.output import emit, say
from lateen.errors import InputError


def init(
    folder: Annotated[Path, typer.Argument(help="The folder with the source.", show_default="here")] = Path(),
    name: Annotated[str, typer.Option("--app", help="The application's name. Default: the folder's.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a lateen.yaml that is there.")] = False,
    output: Output = Format.text,
) -> None:
    """Write a first lateen.yaml: FastAPI, Flask, Node, Go or static binaries, Dockerfiles; one project, or one per folder below."""
    from lateen.adopt.trees import application
    from lateen.adopt.world import Disk
    from lateen.kube.yamltext import dump

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    file = folder / "lateen.yaml"
    if file.exists() and not force:
        raise InputError(f"{file} is there already", hint="--force overwrites it")
    found = application(Disk(folder, os.environ), name or folder.absolute().name)
    if found is None:
        raise InputError(
            f"no program was recognised in {folder.absolute()}",
            hint="known are FastAPI and Flask, package.json, static binaries and Dockerfiles, here or one folder down",
        )
    content, notes = found
    file.write_text(dump([content]))
    if emit({"file": str(file), "services": list(content["services"]), "notes": notes}, output):
        return
    say(f"wrote {file}: {', '.join(content['services'])}")
    for note in notes:
        say(f"  {note}")
    say("run `lateen up` there")
