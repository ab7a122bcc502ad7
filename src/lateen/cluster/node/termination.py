"""What a container leaves behind when it ends: the file it may write a last message to, or the end of its log. Blocking.

Used by ``container``, which mounts the file before the start and reads it after the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFAULT_PATH = "/dev/termination-log"
_FILE_MOST = 4096  # bytes of the file that are read
_LOG_MOST, _LINES_MOST = 2048, 80  # of the log


def prepare(path: Path) -> Path:
    """Make the empty file that a container of any user may write to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o666)
    return path


def message(container: Mapping[str, Any], file: Path, log: Path, exit_code: int) -> str:
    """The message, by the container's terminationMessagePolicy."""
    said = _head(file)
    if not said and exit_code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        return "".join(tail(log).splitlines(keepends=True)[-_LINES_MOST:])
    return said


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_MOST).decode(errors="replace")
    except OSError:
        return ""


def tail(path: Path) -> str:
    """The last part of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_MOST))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
