"""The log on disk: one SQLite table with a row per write. Used by ``sqlite``; blocking, so only its writer thread appends.

The shape follows kine: a row is a version of an object, its key is the revision, and it names the row it supersedes, so that
compaction of a range of revisions needs no other index. The table holds every row after ``compacted`` and, of the older
ones, those that were current then: replaying it in order gives the state at ``compacted`` and every event since.

What survives. WAL with synchronous=FULL: a commit is fsynced before it is acknowledged, so it outlives a kill and, on disks that
honour fsync, a power loss. WAL frames carry checksums: a torn batch is not there at all. When an fsync itself fails, the
batch is reported as failed; if the machine dies before the next write, it may still turn up afterwards.

One process. EXCLUSIVE locking holds the file until the process ends (and keeps the WAL index in memory).
Size. Freed pages are used again by new rows; when many stay free, they are given back a few at a time (incremental vacuum).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lateen.errors import StorageError

APPLICATION_ID = 0x4C41544E  # "LATN"
FORMAT = 1
_COMPACT_ROWS = 500  # revisions per compaction step: a few milliseconds
_VACUUM_PAGES = 256  # pages given back per step
_SPARE_PAGES = 2048  # free pages worth keeping for new rows
_PAGE = 64 << 10
_CHUNK = 64  # rows per INSERT: one statement, one release of the interpreter lock

_SCHEMA = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY, type TEXT NOT NULL, key TEXT NOT NULL, previous INTEGER NOT NULL, raw BLOB NOT NULL
);
CREATE TABLE meta (compacted INTEGER NOT NULL);
INSERT INTO meta VALUES (1);
"""


class Row(NamedTuple):
    """One write. ``previous`` is the revision of the row it supersedes, 0 for none."""

    revision: int
    type: str
    key: str
    previous: int
    raw: bytes


class Log:
    """The open file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _explained(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            with _explained(path):
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        for pragma in ("auto_vacuum=INCREMENTAL", "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        for pragma in ("cache_size=-4096", "journal_size_limit=16777216"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute("BEGIN IMMEDIATE")  # takes the lock that is held from here on
        if not self._number("PRAGMA user_version"):
            self._create()
        self._db.execute("COMMIT")
        found = self._number("PRAGMA user_version")
        if self._number("PRAGMA application_id") != APPLICATION_ID or found > FORMAT:
            raise StorageError(f"{self.path} was not written by this version of lateen (format {found}, known up to {FORMAT})")
        self.compacted = self._number("SELECT compacted FROM meta")

    def _create(self) -> None:
        if self._number("SELECT count(*) FROM sqlite_master"):
            raise StorageError(f"{self.path} is a database of another program")
        for statement in _SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version={FORMAT}")

    def rows(self) -> Iterator[Row]:
        """Every row, in order of revision. StorageError when a write after ``compacted`` is missing."""
        expected = self.compacted + 1
        with _explained(self.path):
            for values in self._db.execute("SELECT revision, type, key, previous, raw FROM log ORDER BY revision"):
                row = Row(*values)
                if row.revision >= expected:
                    if row.revision != expected:
                        raise StorageError(f"{self.path} is damaged: revision {expected} is missing")
                    expected += 1
                yield row

    def append(self, rows: Sequence[Row]) -> None:
        """Write all rows in one transaction and fsync it. StorageError: none was written."""
        with _explained(self.path):
            if len(rows) <= _CHUNK:
                self._insert(rows)
                return
            with self._transaction():
                for at in range(0, len(rows), _CHUNK):
                    self._insert(rows[at : at + _CHUNK])

    def _insert(self, rows: Sequence[Row]) -> None:
        places = ",".join(("(?,?,?,?,?)",) * len(rows))
        self._db.execute(f"INSERT INTO log VALUES {places}", [v for row in rows for v in row])  # noqa: S608 - only question marks

    def compact(self, floor: int) -> bool:
        """One step towards forgetting what was superseded up to ``floor``. True while there is more to do."""
        start = self.compacted
        end = min(floor, start + _COMPACT_ROWS)
        if end <= start:
            return False
        span = (start, end)
        with _explained(self.path), self._transaction():
            superseded = "SELECT previous FROM log WHERE revision > ? AND revision <= ?"
            self._db.execute(f"DELETE FROM log WHERE revision IN ({superseded})", span)  # noqa: S608 - a constant
            self._db.execute("DELETE FROM log WHERE revision > ? AND revision <= ? AND type = 'DELETED'", span)
            self._db.execute("UPDATE meta SET compacted = ?", (end,))
        self.compacted = end
        return end < floor

    def shrink(self) -> None:
        """Give some free pages back to the file system when too many are free."""
        with _explained(self.path):
            free = self._number("PRAGMA freelist_count")
            if free > max(_SPARE_PAGES, self._number("PRAGMA page_count") // 4):
                # executescript, because execute steps once and this statement frees one page per step
                self._db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")

    def close(self) -> None:
        """Move the WAL into the file and release the lock."""
        with _explained(self.path):
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has already ended it
                self._db.execute("ROLLBACK")
            raise

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])


def _full(path: Path) -> bool:
    """Whether the disk has no page left: some calls then fail as if it were broken."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _PAGE


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """SQLite's errors as StorageError, with the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_IOERR") and _full(path):
            name = "SQLITE_FULL"
        hint = {
            "SQLITE_BUSY": "another process has it open; stop that daemon first",
            "SQLITE_FULL": "no space left; free some and try again",
            "SQLITE_CANTOPEN": "cannot be opened; check that its folder exists and is writable",
            "SQLITE_READONLY": "cannot be written; check its permissions",
            "SQLITE_NOTADB": "is not a lateen database",
        }.get("_".join(name.split("_")[:2]), str(error))
        raise StorageError(f"{path}: {hint}") from error
