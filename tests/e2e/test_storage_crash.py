"""Kill -9 in a loop under write load: every acknowledged write is there with its revision, and watches resume without a gap."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from lateen.cluster.storage.history import Window
from lateen.cluster.storage.seam import Event, Revision
from lateen.cluster.storage.sqlite import SqliteStorage

KILLS = 20
PREFIX = "core/configmaps/default/"

# Writes from eight tasks and says each acknowledgement in one line (type, key, revision), each line in one write(2). Its
# window is small in every other life, so that it is also killed while it compacts.
WRITER = f"""
import asyncio, os, random, sys
from pathlib import Path
from lateen.cluster.storage.history import Window
from lateen.cluster.storage.sqlite import SqliteStorage

async def work(store, me):
    n = 0
    while True:
        n += 1
        key = f"{PREFIX}{{me}}-{{random.randrange(40)}}"
        old = store.get(key)
        body = {{"metadata": {{"name": key}}, "n": n, "fill": "x" * random.randrange(2000)}}
        if old is None:
            kind, record = "ADDED", await store.create(key, body)
        elif random.random() < 0.3:
            kind, record = "DELETED", await store.delete(key, expect=old.revision)
        else:
            kind, record = "MODIFIED", await store.update(key, body, expect=old.revision)
        os.write(1, f"{{kind}} {{key}} {{record.revision}}\\n".encode())

async def main():
    store = SqliteStorage.open(Path(sys.argv[1]), window=Window(events=int(sys.argv[2]), bytes=1 << 30))
    async with asyncio.TaskGroup() as group:
        for me in range(8):
            group.create_task(work(store, me))

asyncio.run(main())
"""


def life(path: Path, acks: Path, *, window: int, seconds: float) -> list[tuple[str, str, int]]:
    """Run the writer, kill it, and return what it acknowledged."""
    with acks.open("wb") as out, subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(window)], stdout=out) as child:
        try:
            deadline = time.monotonic() + 20
            while not acks.stat().st_size:
                assert child.poll() is None, "the writer ended by itself"
                assert time.monotonic() < deadline, "the writer never wrote"
                time.sleep(0.005)
            time.sleep(seconds)
            assert child.poll() is None, "the writer ended by itself"
        finally:
            os.kill(child.pid, signal.SIGKILL)
    whole = acks.read_bytes().rpartition(b"\n")[0].decode()
    return [(kind, key, int(revision)) for kind, key, revision in map(str.split, whole.splitlines())]


async def events_after(store: SqliteStorage, revision: int) -> list[Event]:
    """What a watch that had seen ``revision`` gets when it resumes."""
    watch = store.watch(PREFIX, after=Revision(revision))
    await store.close()
    return [event for batch in [b async for b in watch] for event in batch]


async def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path) -> None:
    dice = random.Random(20)
    path, state, seen = tmp_path / "state.db", dict[str, tuple[int, bytes]](), 1
    compacted = total = 0
    for number in range(KILLS):
        small = number % 2 == 1
        acked = life(path, tmp_path / "acks", window=500 if small else 100_000, seconds=dice.uniform(0.02, 0.25))
        total += len(acked)
        store = SqliteStorage.open(path, window=Window(events=1_000_000, bytes=1 << 30))
        newest, compacted = store.revision, store._log.compacted
        stored = {r.key: (int(r.revision), r.raw) for r in store.list(PREFIX).records}
        resume = max(seen, compacted)
        events = await events_after(store, resume)

        assert [e.record.revision for e in events] == list(range(resume + 1, newest + 1))
        by_revision = {e.record.revision: (e.type, e.record.key, int(e.record.revision)) for e in events}
        assert acked
        assert max(revision for *_, revision in acked) <= newest
        for write in acked:
            assert write[2] <= resume or by_revision[Revision(write[2])] == write
        if resume == seen:  # nothing was compacted beyond what we knew: the state must follow from the events alone
            for event in events:
                if event.type == "DELETED":
                    del state[event.record.key]
                else:
                    state[event.record.key] = (int(event.record.revision), event.record.raw)
            assert stored == state
        else:
            last = {key: (kind, revision) for kind, key, revision in sorted(acked, key=lambda a: a[2])}
            for key, (kind, revision) in last.items():
                assert (key in stored and stored[key][0] >= revision) or kind == "DELETED" or _deleted_later(events, key, revision)
        state, seen = stored, newest
    assert total > KILLS * 20
    assert compacted > 1


def _deleted_later(events: list[Event], key: str, revision: int) -> bool:
    return any(e.type == "DELETED" and e.record.key == key and e.record.revision > revision for e in events)
