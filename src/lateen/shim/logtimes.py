"""When each part of a log was written: (time, size) pairs beside the raw file, noted by the shim as the file grows.

The file ``<log>.times`` holds 16-byte records: nanoseconds since 1970 and the size reached by then, both big-endian. The shim
appends; the node agent reads. A size that is negated is the start: everything before it was dropped to keep the log small, and the
notes about it with it.
"""

from __future__ import annotations

import os
import struct
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import suppress

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
        with suppress(OSError):  # a full disk takes no note: the lines after it get the next one's time
            self._append(size)
        if size - self._start > 2 * KEEP:
            start = (size - KEEP) & ~4095
            try:
                punch_hole(self._fd, 0, start)
            except OSError:
                return  # this file system cannot: the log stays whole
            self._start = start
            with suppress(OSError):
                self._compact()

    def _append(self, size: int) -> None:
        fd = os.open(self.path + ".times", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            end = os.fstat(fd).st_size
            if os.write(fd, RECORD.pack(time.time_ns(), size)) < RECORD.size:
                os.ftruncate(fd, end)
        finally:
            os.close(fd)

    def _compact(self) -> None:
        """Keep only notes about what is still there: a busy container may write for months."""
        times, sizes, _ = read(self.path)
        first = bisect_left(sizes, self._start)
        kept = [RECORD.pack(times[first] if first < len(times) else time.time_ns(), -self._start)]
        kept += [RECORD.pack(t, s) for t, s in zip(times[first:], sizes[first:], strict=True)]
        with open(self.path + ".times.new", "wb") as file:
            file.write(b"".join(kept))
        os.replace(self.path + ".times.new", self.path + ".times")

    def close(self) -> None:
        """Note the end and let go of the file."""
        self.note()
        os.close(self._fd)


class Times:
    """The notes beside one log, read on as they grow."""

    def __init__(self, path: str) -> None:
        self._path = path + ".times"
        self._inode = self._read = self.start = 0
        self.times, self.sizes = list[int](), list[int]()
        self.refresh()

    def refresh(self) -> None:
        """Read what is new; everything, if the notes were compacted."""
        try:
            with open(self._path, "rb") as file:
                if (inode := os.fstat(file.fileno()).st_ino) != self._inode:
                    self._inode, self._read = inode, 0
                    self.times, self.sizes = [], []
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        whole = len(data) // RECORD.size * RECORD.size
        self._read += whole
        for moment, size in RECORD.iter_unpack(data[:whole]):
            if size < 0:
                self.start = max(self.start, -size)
            else:
                self.times.append(moment)
                self.sizes.append(size)

    def at(self, offset: int, *, otherwise: int) -> int:
        """See ``time_at``."""
        return time_at(self.times, self.sizes, offset, otherwise=otherwise)


def read(path: str) -> tuple[list[int], list[int], int]:
    """(times in ns, sizes, start offset) of the log at ``path``."""
    found = Times(path)
    return found.times, found.sizes, found.start


def time_at(times: Sequence[int], sizes: Sequence[int], offset: int, *, otherwise: int) -> int:
    """When the byte at ``offset`` was written (ns); ``otherwise`` if that is not noted yet."""
    i = bisect_right(sizes, offset)
    return times[i] if i < len(times) else otherwise
