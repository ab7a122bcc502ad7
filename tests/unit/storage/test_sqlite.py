"""What only the durable store does: restarts, failures of the disk, locking, compaction of the file."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lateen.cluster.storage.history import Window
from lateen.cluster.storage.log import Log
from lateen.cluster.storage.seam import Record, Revision
from lateen.cluster.storage.sqlite import SqliteStorage
from lateen.errors import CompactedError, StorageError

CMS = "core/configmaps/default/"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def config(name: str, size: int = 10) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"x": "y" * size}}


async def fill(store: SqliteStorage, count: int, *, size: int = 10, start: int = 0) -> list[Record]:
    return list(await asyncio.gather(*(store.create(f"{CMS}{i:05}", config(str(i), size)) for i in range(start, start + count))))


def limit_pages(store: SqliteStorage, spare: int) -> None:
    """From now on the file may grow by ``spare`` pages: what a full disk looks like to SQLite."""
    pages = store._log._number("PRAGMA page_count")
    store._log._db.execute(f"PRAGMA max_page_count={pages + spare}").fetchall()


async def test_a_restart_keeps_records_revision_and_history(path: Path) -> None:
    store = SqliteStorage.open(path)
    records = await fill(store, 5)
    await store.delete(records[0].key, expect=records[0].revision)
    before = {r.key: (r.revision, r.raw) for r in store.list(CMS).records}
    await store.close()

    store = SqliteStorage.open(path)
    assert store.revision == 7
    assert {r.key: (r.revision, r.raw) for r in store.list(CMS).records} == before
    watch = store.watch(CMS, after=Revision(3))
    events = await anext(aiter(watch))
    assert [(e.type, e.record.revision) for e in events] == [("ADDED", 4), ("ADDED", 5), ("ADDED", 6), ("DELETED", 7)]
    assert events[-1].previous is not None
    assert (await fill(store, 1, start=10))[0].revision == 8
    await store.close()


async def test_the_revision_never_goes_back_when_everything_was_deleted_and_compacted(path: Path) -> None:
    store = SqliteStorage.open(path)
    (record,) = await fill(store, 1)
    await store.delete(record.key, expect=record.revision)
    await store.compact(store.revision)
    await store.close()
    store = SqliteStorage.open(path)
    assert (store.revision, store.count("")) == (3, 0)
    with pytest.raises(CompactedError):
        store.watch(CMS, after=Revision(2))
    await store.close()


async def test_nothing_is_visible_before_it_is_durable(path: Path) -> None:
    store = SqliteStorage.open(path)
    watch = store.watch(CMS, after=store.revision)
    task = asyncio.ensure_future(store.create(f"{CMS}a", config("a")))
    await asyncio.sleep(0)
    assert (store.get(f"{CMS}a"), store.revision, store.count(CMS)) == (None, 1, 0)
    assert not watch._buffer
    record = await task
    assert store.get(f"{CMS}a") is record
    await store.close()


async def test_close_finishes_accepted_writes(path: Path) -> None:
    store = SqliteStorage.open(path)
    tasks = [asyncio.ensure_future(store.create(f"{CMS}{i}", config(str(i)))) for i in range(200)]
    await asyncio.sleep(0)
    await store.close()
    assert len(await asyncio.gather(*tasks)) == 200
    store = SqliteStorage.open(path)
    assert store.count(CMS) == 200
    await store.close()


async def test_a_full_disk_fails_its_writers_and_the_store_goes_on(path: Path) -> None:
    store = SqliteStorage.open(path)
    (kept,) = await fill(store, 1)
    watch = store.watch(CMS, after=store.revision)
    limit_pages(store, 5)
    big = asyncio.gather(*(store.create(f"{CMS}big{i}", config("big", 20_000)) for i in range(5)), return_exceptions=True)
    await asyncio.sleep(0.001)
    later = asyncio.ensure_future(store.update(kept.key, config("0", 30_000), expect=kept.revision))
    outcomes = [*await big, *await asyncio.gather(later, return_exceptions=True)]
    assert all(isinstance(o, StorageError) for o in outcomes), outcomes
    assert "no space left" in str(outcomes[0])
    assert (store.revision, store.get(kept.key), store.count(CMS)) == (2, kept, 1)

    changed = await store.update(kept.key, config("0", 11), expect=kept.revision)
    assert changed.revision == 3
    assert [e.record for e in await anext(aiter(watch))] == [changed]
    await store.close()
    store = SqliteStorage.open(path)
    assert (store.revision, store.count(CMS)) == (3, 1)
    await store.close()


async def test_a_write_accepted_on_top_of_a_failing_one_fails_with_it(path: Path) -> None:
    """The update sees the pending create; when the create's batch fails, the update must not survive it."""
    store = SqliteStorage.open(path)
    await fill(store, 1)
    limit_pages(store, 2)
    create = asyncio.ensure_future(store.create(f"{CMS}big", config("big", 50_000)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    update = asyncio.ensure_future(store.update(f"{CMS}big", config("big"), expect=Revision(3)))
    outcomes = await asyncio.gather(create, update, return_exceptions=True)
    assert all(isinstance(o, StorageError) for o in outcomes), outcomes
    assert store.get(f"{CMS}big") is None
    await store.close()


async def test_a_second_process_is_told_who_is_in_the_way(path: Path) -> None:
    store = SqliteStorage.open(path)
    code = (
        "import sys; from pathlib import Path; from lateen.cluster.storage.log import Log\n"
        "try: Log(Path(sys.argv[1]))\nexcept Exception as e: print(type(e).__name__, e)"
    )
    result = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert result.stdout.strip() == f"StorageError {path}: another process has it open; stop that daemon first", result.stderr
    await fill(store, 1)
    await store.close()
    await SqliteStorage.open(path).close()


def test_files_that_are_not_ours_are_refused_and_left_alone(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StorageError, match="another program"):
        SqliteStorage.open(path)
    text = tmp_path / "notes.txt"
    text.write_text("hello " * 1000)
    with pytest.raises(StorageError, match="not a lateen database"):
        SqliteStorage.open(text)
    assert text.read_text() == "hello " * 1000
    with pytest.raises(StorageError, match="cannot be opened"):
        SqliteStorage.open(tmp_path / "absent" / "state.db")


async def test_a_newer_format_and_a_missing_write_are_refused(path: Path) -> None:
    store = SqliteStorage.open(path)
    await fill(store, 5)
    await store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM log WHERE revision = 4")
        db.commit()
    with pytest.raises(StorageError, match="damaged: revision 4 is missing"):
        SqliteStorage.open(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(StorageError, match="format 99"):
        SqliteStorage.open(path)


@pytest.fixture
def rows(path: Path) -> Callable[[], int]:
    def count() -> int:
        log = Log(path)
        try:
            return log._number("SELECT count(*) FROM log")
        finally:
            log.close()

    return count


async def test_the_file_follows_the_window_and_stops_growing(path: Path, rows: Callable[[], int]) -> None:
    store = SqliteStorage.open(path, window=Window(events=200))
    (record,) = await fill(store, 1)
    sizes = []
    for _ in range(4):
        for _ in range(1500):
            record = await store.update(record.key, config("0", 1000), expect=record.revision)
        sizes.append(store._log._number("PRAGMA page_count"))
    await store.close()
    assert sizes[-1] <= sizes[0] * 1.2
    assert rows() < 1800
    store = SqliteStorage.open(path, window=Window(events=200))
    assert store.get(record.key).raw == record.raw  # type: ignore[union-attr]
    await store.close()


async def test_compaction_keeps_current_records_and_gives_pages_back(path: Path, rows: Callable[[], int]) -> None:
    store = SqliteStorage.open(path)
    records = await fill(store, 3000, size=3000)
    before = store._log._number("PRAGMA page_count")
    await asyncio.gather(*(store.delete(r.key, expect=r.revision) for r in records[10:]))
    after_deleting = store._log._number("PRAGMA page_count")
    for _ in range(12):
        await store.compact(store.revision)
    assert store._log._number("PRAGMA page_count") < before + 100
    assert store._log._number("PRAGMA page_count") < after_deleting - 2000
    assert list(store.list(CMS).records) == records[:10]
    await store.close()
    assert rows() == 10
    store = SqliteStorage.open(path)
    assert [r.raw for r in store.list(CMS).records] == [r.raw for r in records[:10]]
    await store.close()
