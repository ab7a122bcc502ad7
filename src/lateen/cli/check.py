"""``lateen check``: what is wrong, risky or wasteful in an application or in manifests, with places and ways to fix it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lateen.cli.options import Context, Kubeconfig, Name
from lateen.cli.output import paint, say
from lateen.errors import InputError

if TYPE_CHECKING:
    from lateen.check import Check, Report


class Form(StrEnum):
    """How to print findings."""

    text = "text"
    json = "json"
    sarif = "sarif"
    junit = "junit"


class Least(StrEnum):
    """From which severity on the command fails."""

    error = "error"
    warning = "warning"
    info = "info"
    never = "never"


def check(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders (Helm charts and kustomizations are rendered), or -. Default: lateen.yaml, else this folder."
        ),
    ] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="text, json, sarif or junit.")] = Form.text,
    fail_on: Annotated[
        Least, typer.Option("--fail-on", help="Exit with 1 from this severity on: error, warning, info, never.")
    ] = Least.error,
    profile: Annotated[str, typer.Option(help="default, strict, errors, security, reliability, cost, coupling, delivery.")] = "",
    select: Annotated[list[str] | None, typer.Option("--select", help="Only these checks (patterns such as LT-SEC-*).")] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="Not these checks.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file with [tool.lateen.check]. Default: pyproject.toml.")
    ] = None,
    env: Annotated[str, typer.Option("--env", help="The environment of the application file.")] = "",
    fix: Annotated[bool, typer.Option("--fix", help="Write the safe changes into the files first.")] = False,
    live: Annotated[str, typer.Option("--live", metavar="NAMESPACE", help="Check a namespace of a running cluster.")] = "",
    name: Name = "default",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
    explain: Annotated[
        str, typer.Option("--explain", metavar="ID", help="Say what a check looks at, why, and how to fix it.")
    ] = "",
    listing: Annotated[bool, typer.Option("--list", help="List the checks.")] = False,
) -> int:
    """Check an application file, manifests, charts or kustomizations: security, reliability, capacity, coupling, delivery."""
    from lateen.check import all_checks
    from lateen.cli import checking

    settings = checking.configuration(config, profile=profile, select=select or (), ignore=ignore or ())
    checks = [*all_checks(), *checking.own_checks(settings)]
    if listing:
        return _list(checks, output)
    if explain:
        return _explain(checks, explain)
    if live:
        from lateen.cli.running import run

        report = run(checking.live(live, checks, settings, how={"name": name, "context": context, "kubeconfig": kubeconfig}))
    else:
        report = checking.examined([Path(p) for p in paths or default_paths()], checks, settings, environment=env, fix=fix)
    _print(report, checks, output)
    return _code(report, fail_on)


def default_paths() -> Sequence[str]:
    """What is looked at when nothing is named."""
    return ["lateen.yaml"] if Path("lateen.yaml").is_file() else ["."]


def _list(checks: Sequence[Check], output: Form) -> int:
    import json

    from lateen.cli.output import table

    if output is Form.json:
        keys = ("id", "title", "why", "fix", "needs")
        say(
            json.dumps(
                [{**{k: getattr(c, k) for k in keys}, "severity": c.severity.word, "theme": c.theme} for c in checks], indent=2
            )
        )
    else:
        table(("ID", "SEVERITY", "WHAT"), [(c.id, c.severity.word, c.title) for c in checks])
    return 0


def _explain(checks: Sequence[Check], wanted: str) -> int:
    import difflib

    found = {c.id: c for c in checks}.get(wanted.upper())
    if found is None:
        near = difflib.get_close_matches(wanted.upper(), [c.id for c in checks], n=3)
        raise InputError(
            f"there is no check {wanted!r}", hint=f"did you mean {', '.join(near)}?" if near else "see lateen check --list"
        )
    say(f"{paint(found.id, 'strong')} {found.title} ({found.severity.word})\n\n{found.why}\n\nfix: {found.fix}")
    if found.needs:
        say(f"needs: {found.needs}")
    return 0


def _print(report: Report, checks: Sequence[Check], output: Form) -> None:
    from lateen import __version__
    from lateen.check.report import machine, text

    if output is Form.text:
        say(text.text(report, paint))
    elif output is Form.json:
        say(machine.as_json(report))
    elif output is Form.sarif:
        say(machine.sarif(report, checks, __version__))
    else:
        say(machine.junit(report))


def _code(report: Report, fail_on: Least) -> int:
    from lateen.check import Severity

    worst = report.worst()
    return int(fail_on is not Least.never and worst is not None and worst >= Severity[fail_on.value.upper()])
