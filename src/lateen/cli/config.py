"""``lateen config``: the application as it counts, with the place each value comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from lateen.cli.options import Files, Format
from lateen.cli.output import emit, note, say


def config(
    files: Files = None,
    env: Annotated[str, typer.Option("--env", help="The environment to show.")] = "",
    origins: Annotated[bool, typer.Option("--origins/--no-origins", help="Say which line of which file gave each value.")] = True,
    output: Annotated[Format, typer.Option("--output", "-o", help="yaml (text) or json.")] = Format.text,
) -> None:
    """Show the application with files, environment and defaults laid over each other, and where each value comes from."""
    from lateen.cli.project import load_application
    from lateen.kube.yamltext import plain
    from lateen.model import origins as places

    application = load_application(files, environment=env, tell=note)
    tree = places.of(application)
    if output is Format.json:
        found = {".".join(map(str, path)): places.place(node) for path, node in places.leaves(tree)}
        emit({"application": plain(tree), **({"origins": found} if origins else {})}, output)
    else:
        say(places.described(tree, origins=origins).rstrip())
