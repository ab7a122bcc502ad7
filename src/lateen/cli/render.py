"""``lateen render``: the Kubernetes objects of the application, printed or as a package in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lateen.cli.options import Files, Format
from lateen.cli.output import note, say
from lateen.errors import InputError


def render(
    files: Files = None,
    env: Annotated[str, typer.Option("--env", help="The environment to render for. Default: all that a package can hold.")] = "",
    having: Annotated[
        list[str] | None,
        typer.Option("--with", help="An optional part that the cluster has: keda, vpa, prometheus, cert-manager, ..."),
    ] = None,
    resolve: Annotated[bool, typer.Option("--build/--no-build", help="Build images, and name them by digest.")] = True,
    target: Annotated[str, typer.Option("--target", help="Write a package: plain, ... (docs/packages.md).")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="yaml or json; with --target the folder to write to.")] = "",
    force: Annotated[bool, typer.Option("--force", help="With --target: overwrite files that lateen did not write.")] = False,
) -> None:
    """Print the Kubernetes objects that `lateen up` applies, or write them as a package. Nothing is sent to any cluster."""
    if target:
        _package(files, target, folder=output, env=env, having=having or [], build=resolve, force=force)
    else:
        _print(files, env=env, having=having or [], build=resolve, output=_format(output))


def _package(files: list[Path] | None, target: str, *, folder: str, env: str, having: list[str], build: bool, force: bool) -> None:
    from lateen.cli import package
    from lateen.render.capabilities import named

    wanted = package.target(target)
    if not folder:
        raise InputError(f"where should the {target} package go?", hint="name a folder with -o")
    graph = package.graph(wanted, files, environment=env, build=build, having=named(having), progress=note)
    for text in wanted.notes(graph):
        note(text)
    done = package.write(Path(folder), wanted.write(graph), force=force)
    for line in done:
        say(line)
    if not done:
        say(f"{folder} is up to date")


def _format(output: str) -> Format:
    if output in ("", Format.yaml, Format.json):
        return Format(output or Format.yaml)
    raise InputError(f"{output!r} is no format", hint="-o is yaml or json; to write a folder, name a package with --target")


def _print(files: list[Path] | None, *, env: str, having: list[str], build: bool, output: Format) -> None:
    import json

    from lateen.cli.project import load_application, rendered
    from lateen.render import to_yaml
    from lateen.render.capabilities import named
    from lateen.render.hidden import withheld

    application = load_application(files, environment=env)
    objects, secrets = withheld(rendered(application, build=build, progress=note, having=named(having)))
    for name in secrets:
        note(f"Secret {name} is not written: its values come from files of this machine, `lateen up` applies them")
    if output is Format.json:
        say(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2))
    else:
        say(to_yaml(objects).rstrip())
