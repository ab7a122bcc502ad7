"""The command tree, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from lateen import __version__
from lateen.cli import (
    adopt,
    apply,
    build,
    check,
    cluster,
    config,
    demo,
    diff,
    down,
    graph,
    image,
    init,
    logs,
    render,
    schema,
    status,
    up,
    why,
)
from lateen.errors import FailedError, InputError, LateenError

HELP = """Take a set of microservices from one application file to production on Kubernetes.

Start here:  lateen up    in a folder with a lateen.yaml. It starts an embedded cluster on this machine (no Docker, no root),
builds the services, deploys them, waits until they are ready, and prints their URLs.
"""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)

app = typer.Typer(
    name="lateen",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"lateen {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Only carries --version; the help text is HELP."""


for command in (
    up.up,
    init.init,
    adopt.adopt,
    check.check,
    graph.graph,
    down.down,
    status.status,
    logs.logs,
    render.render,
    config.config,
    why.why,
    diff.diff,
    apply.apply,
    build.build,
    schema.schema,
    demo.demo,
):
    app.command()(command)
app.add_typer(cluster.app, name="cluster")
app.add_typer(image.app, name="image")


def run(argv: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    try:
        code = app(list(argv), prog_name="lateen", standalone_mode=False)
    except typer.TyperException as error:
        return _refuse(error)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        return 130
    except InputError as error:
        return _fail(error, 2)
    except LateenError as error:
        return _fail(error, 1)
    except SystemExit:
        return _silence(0)  # so typer ends when nobody reads the output any more
    except BrokenPipeError:
        return _silence(0)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        place = f" ({error.filename})" if error.filename else ""
        return _silence(_fail(FailedError(f"cannot write: {error.strerror}{place}"), 1))
    except ExceptionGroup as group:
        return _fail_group(group)
    return code if isinstance(code, int) else 0


def _silence(code: int) -> int:
    """Nothing more to a stdout that takes nothing more, not even at the interpreter's end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _refuse(error: typer.TyperException) -> int:
    """A wrong command line: its usage, and what is wrong. A group without a command is a question for help."""
    context: typer.Context | None = getattr(error, "ctx", None)
    if context is not None:
        if error.message == context.get_help():
            typer.echo(error.message)
            return 0
        typer.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    return _fail(InputError(error.format_message()), 2)


def _fail_group(group: ExceptionGroup[Exception]) -> int:
    known, unknown = group.split(LateenError)
    if unknown is not None or known is None:
        raise group
    errors = [e for e in known.exceptions if isinstance(e, LateenError)]
    return max(_fail(error, 2 if isinstance(error, InputError) else 1) for error in errors)


def _fail(error: LateenError, code: int) -> int:
    label = typer.style("error:", fg="red", bold=True) if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else "error:"
    typer.echo(f"{label} {error}", err=True)
    return code
