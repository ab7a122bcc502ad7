"""Write docs/cli.md, the reference of the command line, from the command tree. ``--check`` only says whether it is up to date.

Run after every change of ``src/lateen/cli``; a test fails when it was forgotten.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from lateen.cli.root import app

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"
HEAD = """# The command line

*Written by `scripts/cli_docs.py` from the commands themselves. Do not edit.*

**Exit codes.** 0: done. 1: it failed, or something is not healthy. 2: the input is wrong; nothing was changed.

**Output.** Results go to standard output, progress and errors to standard error. `-o json` and `-o yaml` are for programs. Colour
appears only on a terminal.

**Environment.**

| variable | meaning |
| --- | --- |
| `LATEEN_HOME` | the folder of all state: clusters and images. Default: `~/.lateen` |
| `LATEEN_CLUSTER` | the cluster to use where `--name` is not given |
| `LATEEN_LOG` | how much the daemon writes to its log: `debug`, `info` (default), `warning`, `error` |
| `NO_COLOR` | when set, no colour |
| `KUBECONFIG` | where `--context` looks for contexts, as for kubectl |

**Completion.** `lateen --install-completion` sets it up for bash, zsh, fish and PowerShell.
"""


def main() -> int:
    """0 when docs/cli.md is what the commands say (after writing it, without --check)."""
    text = document()
    if "--check" in sys.argv:
        fresh = TARGET.exists() and TARGET.read_text() == text
        print("docs/cli.md is up to date" if fresh else "docs/cli.md is out of date: run scripts/cli_docs.py")
        return 0 if fresh else 1
    TARGET.write_text(text)
    return 0


def document() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(path, command) for path, command in commands())])


def commands() -> Iterator[tuple[str, Any]]:
    """(path as it is typed, command) of every command that does something."""

    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        for name, child in getattr(command, "commands", {}).items():
            if hasattr(child, "commands"):
                yield from walk(f"{path} {name}", child)
            else:
                yield f"{path} {name}", child

    return walk("lateen", typer.main.get_command(app))


def section(path: str, command: Any) -> str:
    """One command: what it does, and its options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([path, *(p.name.upper() for p in arguments)])
    lines = [f"## {usage}", "", " ".join(command.help.split()), ""]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    if not options:
        return "\n".join(lines)
    lines += ["| option | default | meaning |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(row(p) for p in options), ""])


def row(option: Any) -> str:
    """One option as a line of the table."""
    names = ", ".join(f"`{n}`" for n in [*reversed(option.opts), *option.secondary_opts])
    variable = f" Also: `${option.envvar}`." if option.envvar else ""
    return f"| {names} | {default(option)} | {option.help or ''}{variable} |"


def default(option: Any) -> str:
    """What holds when the option is not given."""
    shown, value = option.show_default, option.default
    if isinstance(shown, str):
        return f"`{shown}`"
    if option.required:
        return "required"
    if option.is_flag:
        return f"`{[*option.opts, *option.secondary_opts][0 if value else -1]}`" if option.secondary_opts else ""
    if value in (None, ""):
        return ""
    return f"`{getattr(value, 'value', value):g}`" if isinstance(value, float) else f"`{getattr(value, 'value', value)}`"


if __name__ == "__main__":
    sys.exit(main())
