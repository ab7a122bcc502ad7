"""Which files are Compose files. Apart from the rest, because every command asks."""

from __future__ import annotations

import re

_FILE = re.compile(r"(docker-)?compose([-.][-.\w]+)?\.ya?ml")


def is_compose(name: str) -> bool:
    """Whether a file of this name is a Compose file."""
    return _FILE.fullmatch(name) is not None
