"""``lateen apply``: any manifests, on any cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lateen.cli.options import Context, Format, Kubeconfig, Name, Output, Timeout
from lateen.cli.output import emit, say
from lateen.cli.running import run
from lateen.cli.up import ForceConflicts
from lateen.errors import InputError


def apply(
    files: Annotated[list[str], typer.Option("--file", "-f", help="A file or folder of manifests, or - for standard input.")],
    name: Name = "default",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where objects go that name no namespace.")] = "default",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything is healthy.")] = True,
    timeout: Timeout = 300.0,
    force_conflicts: ForceConflicts = False,
    output: Output = Format.text,
) -> None:
    """Apply manifests: server-side, in dependency order, waiting for health. Nothing is written if the server refuses any."""
    from lateen.apply import load_manifests

    manifests = load_manifests([s for f in files for s in _sources(f)])
    how = {"name": name, "context": context, "kubeconfig": kubeconfig}
    result = run(
        _apply(
            manifests, how, namespace=namespace, wait=wait, seconds=timeout, force=force_conflicts, quiet=output is not Format.text
        )
    )
    if not emit(result, output):
        for action in result["actions"]:
            say(f"{action['object']} {action['verb']}")


def _sources(path: str) -> list[Any]:
    from lateen.cli.project import read_source
    from lateen.model import Source

    if path == "-":
        return [Source("<stdin>", sys.stdin.read())]
    place = Path(path)
    found = sorted(p for p in place.rglob("*") if p.suffix in (".yaml", ".yml", ".json")) if place.is_dir() else [place]
    if not found:
        raise InputError(f"{path} holds no manifests", hint="*.yaml, *.yml and *.json are read")
    return [read_source(p) for p in found]


async def _apply(
    manifests: list[Any], how: dict[str, str], *, namespace: str, wait: bool, seconds: float, force: bool, quiet: bool
) -> dict[str, Any]:
    from lateen.apply import Options
    from lateen.apply import apply as bring
    from lateen.cli.progress import listener
    from lateen.cli.target import target

    async with target(**how) as client:
        with listener(quiet=quiet) as listen:
            options = Options(wait=wait, timeout=seconds, force=force)
            report = await bring(client, manifests, namespace=namespace, on_progress=listen, options=options)
        report.raise_for_failure()
        actions = [{"object": str(a.ref), "verb": a.verb.value} for a in report.actions]
        return {"seconds": round(report.seconds, 3), "actions": actions}
