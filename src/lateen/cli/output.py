"""What commands print: tables and values for people, JSON and YAML for programs. Colour only on a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from lateen.cli.options import Format

COLOURS = {"good": "green", "bad": "red", "busy": "yellow", "dim": "bright_black", "strong": "bold"}


def coloured() -> bool:
    """Whether standard output is a terminal that wants colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, mood: str) -> str:
    """``text`` in the colour of ``mood`` (a key of COLOURS), if anybody can see it."""
    if not coloured():
        return text
    return typer.style(text, bold=True) if mood == "strong" else typer.style(text, fg=COLOURS[mood])


def say(text: str = "") -> None:
    """A line on standard output."""
    typer.echo(text)


def note(text: str) -> None:
    """A line on standard error: progress, never part of the result."""
    typer.echo(text, err=True)


def emit(value: Any, output: Format) -> bool:
    """Print ``value`` for programs; False if people are to be served by the caller."""
    if output is Format.json:
        typer.echo(json.dumps(value, indent=2))
    elif output is Format.yaml:
        typer.echo(to_yaml(value), nl=False)
    return output is not Format.text


def to_yaml(value: Any) -> str:
    """``value`` as YAML in its own order."""
    import yaml

    return str(yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, allow_unicode=True))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as they must be, as kubectl prints them."""
    cells = [[str(c) for c in row] for row in rows]
    widths = [max(len(_plain(row[i])) for row in [list(head), *cells]) for i in range(len(head))]
    for row in [list(head), *cells]:
        typer.echo("   ".join(c + " " * (w - len(_plain(c))) for c, w in zip(row, widths, strict=True)).rstrip())


def _plain(text: str) -> str:
    """``text`` without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
