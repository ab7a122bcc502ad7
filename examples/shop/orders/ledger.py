"""The ledger: one JSON line per order, appended once, flushed to disk before anybody is told.

Several processes may share the file: a lock makes one writer at a time, and each reads what the others appended. A line cut
short by a crash was never acknowledged, and is cut off by the next writer.
"""

import fcntl
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any


class Ledger:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._read_to = 0
        self._copies: Counter[str] = Counter()

    def append(self, orders: list[dict[str, Any]]) -> None:
        """Store each order that is not yet there; return when all are on disk."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self.refresh()
            os.ftruncate(self._file, self._read_to)
            fresh = {str(o["order_id"]): o for o in orders if not self._copies[str(o["order_id"])]}
            if fresh:
                os.write(self._file, b"".join(json.dumps(o).encode() + b"\n" for o in fresh.values()))
                os.fsync(self._file)
                self.refresh()
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def refresh(self) -> None:
        """Read the whole lines that came since."""
        while data := os.pread(self._file, 1 << 20, self._read_to):
            whole = data[: data.rfind(b"\n") + 1]
            if not whole:
                return
            self._copies.update(str(json.loads(line)["order_id"]) for line in whole.splitlines())
            self._read_to += len(whole)

    def copies(self, order_id: str) -> int:
        if not self._copies[order_id]:
            self.refresh()
        return self._copies[order_id]

    def count(self) -> int:
        self.refresh()
        return self._copies.total()
