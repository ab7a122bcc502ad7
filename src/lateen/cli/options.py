"""Options that several commands share, declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How to print: for people, or for programs."""

    text = "text"
    json = "json"
    yaml = "yaml"


Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", help="The application file; repeat to lay one over another. Default: lateen.yaml.", show_default=False
    ),
]
Name = Annotated[str, typer.Option("--name", envvar="LATEEN_CLUSTER", help="The embedded cluster to use.")]
Context = Annotated[str, typer.Option("--context", help="Use this context of the kubeconfig instead of an embedded cluster.")]
Kubeconfig = Annotated[str, typer.Option("--kubeconfig", help="Use this kubeconfig instead of an embedded cluster.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="text, json or yaml.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for health.")]
