"""When each part of a log was written: (time, size) pairs beside the raw file, noted by the shim as the file grows.

The file ``<log>.times`` holds 16-byte records: nanoseconds since 1970 and the size reached by then, both big-endian. The shim
appends; the node agent reads. A size that is negated is the start: everything before it was dropped to keep the log small.
"""

from __future__ import annotations

import os
import struct
import time
from bisect import bisect_right
from collections.abc import Sequence

from lateen.shim.syscalls import punch_hole

RECORD = struct.Struct(">qq")
KEEP = 64 << 20  # bytes of one log that stay on disk, at least


class Growth:
    """Watches one log file. OSError if it is not there."""

    __slots__ = ("_fd", "_size", "_start", "path")

    def __init__(self, path: str) -> None:
        self.path, self._fd = path, os.open(path, os.O_RDWR)
        self._size = self._start = 0
        if os.path.exists(self.path + ".times"):
            _, sizes, self._start = read(self.path)
            self._size = sizes[-1] if sizes else 0

    def note(self) -> None:
        """Record growth, and drop the oldest part of a log that grew too long. Costs one fstat when nothing happened."""
        size = os.fstat(self._fd).st_size
        if size == self._size:
            return
        self._size = size
        self._append(size)
        if size - self._start > 2 * KEEP:
            start = (size - KEEP) & ~4095
            try:
                punch_hole(self._fd, 0, start)
            except OSError:
                return  # this file system cannot: the log stays whole
            self._start = start
            self._append(-start)

    def _append(self, size: int) -> None:
        fd = os.open(self.path + ".times", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        os.write(fd, RECORD.pack(time.time_ns(), size))
        os.close(fd)

    def close(self) -> None:
        """Note the end and let go of the file."""
        self.note()
        os.close(self._fd)


def read(path: str) -> tuple[list[int], list[int], int]:
    """(times in ns, sizes, start offset) of the log at ``path``."""
    try:
        with open(path + ".times", "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return [], [], 0
    pairs = list(RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size]))
    start = max((-size for _, size in pairs if size < 0), default=0)
    grown = [p for p in pairs if p[1] >= 0]
    return [t for t, _ in grown], [s for _, s in grown], start


def time_at(times: Sequence[int], sizes: Sequence[int], offset: int, *, otherwise: int) -> int:
    """When the byte at ``offset`` was written (ns); ``otherwise`` if that is not noted yet."""
    i = bisect_right(sizes, offset)
    return times[i] if i < len(times) else otherwise
