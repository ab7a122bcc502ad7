"""``lateen render``: the Kubernetes objects of the application."""

from __future__ import annotations

from typing import Annotated

import typer

from lateen.cli.options import Files, Format
from lateen.cli.output import note, say


def render(
    files: Files = None,
    env: Annotated[str, typer.Option("--env", help="The environment to render for.")] = "",
    having: Annotated[
        list[str] | None,
        typer.Option("--with", help="An optional part that the cluster has: keda, vpa, prometheus, cert-manager, ..."),
    ] = None,
    resolve: Annotated[bool, typer.Option("--build/--no-build", help="Build images, and name them by digest.")] = True,
    output: Annotated[Format, typer.Option("--output", "-o", help="yaml or json.")] = Format.yaml,
) -> None:
    """Print the Kubernetes objects that `lateen up` applies. Nothing is sent to any cluster."""
    import json

    from lateen.cli.project import load_application, rendered
    from lateen.render import to_yaml
    from lateen.render.capabilities import named
    from lateen.render.hidden import withheld

    application = load_application(files, environment=env)
    objects, secrets = withheld(rendered(application, build=resolve, progress=note, having=named(having or ())))
    for name in secrets:
        note(f"Secret {name} is not written: its values come from files of this machine, `lateen up` applies them")
    if output is Format.json:
        say(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2))
    else:
        say(to_yaml(objects).rstrip())
