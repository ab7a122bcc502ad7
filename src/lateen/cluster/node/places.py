"""Where a node keeps what must lie in memory: shared memory of pods, emptyDir volumes of medium Memory. Used by ``volumes`` and
the oci runtime.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory has its place


def name_of(folder: Path) -> str:
    """A name for everything of the node whose files are in ``folder`` that lies elsewhere."""
    return "lateen-" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def shared_memory(folder: Path) -> Path:
    """For /dev/shm of the node's pods."""
    return _MEMORY / name_of(folder)


def memory_volumes(folder: Path) -> Path:
    """For the node's volumes in memory."""
    return _MEMORY / f"{name_of(folder)}-volumes"


def clean(folder: Path) -> None:
    """Drop all of it. Blocking."""
    for path in (shared_memory(folder), memory_volumes(folder)):
        shutil.rmtree(path, ignore_errors=True)
