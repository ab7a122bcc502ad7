"""One suite for every store: the storage law (see ``lateen.cluster.storage.seam``)."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lateen.cluster.storage.history import Window
from lateen.cluster.storage.memory import MemoryStorage
from lateen.cluster.storage.seam import Event, Page, Record, Revision, Storage, Watch
from lateen.cluster.storage.sqlite import SqliteStorage
from lateen.errors import CompactedError, KeyExistsError, KeyMissingError, RevisionConflictError, StorageError

Open = Callable[..., Storage]
PODS = "core/pods/"


@pytest.fixture(params=["memory", "sqlite"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[Storage] = []

    def make(**options: Any) -> Storage:
        path = tmp_path / f"{len(opened)}.db"
        store: Storage = MemoryStorage(**options) if request.param == "memory" else SqliteStorage.open(path, **options)
        opened.append(store)
        return store

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
def store(open_store: Open) -> Storage:
    return open_store()


def pod(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **more}


async def add(store: Storage, *names: str, namespace: str = "default") -> list[Record]:
    return [await store.create(f"{PODS}{namespace}/{name}", pod(name)) for name in names]


async def take(watch: Watch, count: int) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(5):
        async for batch in watch:
            events += batch
            if len(events) >= count:
                break
    return events


def names(page: Page) -> list[str]:
    return [r.obj["metadata"]["name"] for r in page.records]


# writes


async def test_an_empty_store_is_at_revision_one(store: Storage) -> None:
    assert store.revision == 1
    assert store.list(PODS) == Page((), Revision(1))
    assert store.get(f"{PODS}default/a") is None
    assert store.count(PODS) == 0


async def test_every_write_gets_the_next_revision_and_nothing_else_moves_it(store: Storage) -> None:
    key = f"{PODS}default/a"
    (created,) = await add(store, "a")
    updated = await store.update(key, pod("a", x=1), expect=created.revision)
    with pytest.raises(RevisionConflictError):
        await store.update(key, pod("a"), expect=created.revision)
    with pytest.raises(KeyExistsError):
        await store.create(key, pod("a"))
    deleted = await store.delete(key, expect=updated.revision)
    assert [created.revision, updated.revision, deleted.revision, store.revision] == [2, 3, 4, 4]


async def test_a_record_carries_its_revision_in_bytes_and_object(store: Storage) -> None:
    (record,) = await add(store, "a")
    assert orjson.loads(record.raw) == record.obj == {"metadata": {"name": "a", "resourceVersion": "2"}}
    assert store.get(record.key) is record


async def test_a_slimmed_record_keeps_what_is_shared_and_decodes_the_rest_again() -> None:
    record = Record("k", Revision(7), b'{"metadata":{"name":"a"}}', {"metadata": {"name": "a"}})
    shared = record.obj
    record.slim()
    assert record.obj is shared
    del shared
    record.slim()
    assert record._obj is None
    assert record.obj == {"metadata": {"name": "a"}}
    assert record.obj is record.obj


async def test_slim_drops_the_decoded_forms_that_nobody_shares(store: Storage) -> None:
    shared, alone = await add(store, "a", "b")
    kept = shared.obj
    assert alone.obj["metadata"]["name"] == "b"
    store.slim()
    assert shared.obj is kept
    assert alone._obj is None


async def test_missing_keys_are_refused(store: Storage) -> None:
    with pytest.raises(KeyMissingError):
        await store.update(f"{PODS}default/a", pod("a"), expect=Revision(1))
    with pytest.raises(KeyMissingError):
        await store.delete(f"{PODS}default/a", expect=Revision(1))


async def test_delete_with_a_wrong_expectation_keeps_the_record(store: Storage) -> None:
    (record,) = await add(store, "a")
    with pytest.raises(RevisionConflictError):
        await store.delete(record.key, expect=Revision(record.revision + 1))
    assert store.get(record.key) is record


async def test_what_cannot_be_serialised_is_refused_and_leaves_no_gap(store: Storage) -> None:
    with pytest.raises(TypeError):
        await store.create(f"{PODS}default/a", pod("a", bad=object()))
    (record,) = await add(store, "a")
    assert record.revision == 2


async def test_deletion_tells_the_last_state_stamped_with_its_own_revision(store: Storage) -> None:
    (record,) = await add(store, "a")
    watch = store.watch(PODS, after=record.revision)
    await store.delete(record.key, expect=record.revision)
    (event,) = await take(watch, 1)
    assert (event.type, event.previous) == ("DELETED", record)
    assert event.record.obj == {"metadata": {"name": "a", "resourceVersion": "3"}}
    assert record.obj["metadata"]["resourceVersion"] == "2"


async def test_deletion_can_carry_a_final_object(store: Storage) -> None:
    (record,) = await add(store, "a")
    gone = await store.delete(record.key, expect=record.revision, obj=pod("a", final=True))
    assert gone.obj == {"metadata": {"name": "a", "resourceVersion": "3"}, "final": True}


async def test_of_many_writers_expecting_the_same_revision_one_wins(store: Storage) -> None:
    (record,) = await add(store, "a")
    outcomes = await asyncio.gather(
        *(store.update(record.key, pod("a", by=i), expect=record.revision) for i in range(20)), return_exceptions=True
    )
    won = [o for o in outcomes if isinstance(o, Record)]
    assert len(won) == 1
    assert store.get(record.key) is won[0]
    assert all(isinstance(o, RevisionConflictError) for o in outcomes if o is not won[0])


async def test_a_cancelled_writer_leaves_the_store_whole(store: Storage) -> None:
    task = asyncio.ensure_future(store.create(f"{PODS}default/a", pod("a")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (record,) = await add(store, "b")
    assert (record.revision, names(store.list(PODS))) == (3, ["a", "b"])


async def test_writes_after_close_are_refused(store: Storage) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StorageError):
        await add(store, "a")
    with pytest.raises(StorageError):
        store.watch(PODS, after=store.revision)


# lists


async def test_lists_are_in_key_order_and_keep_to_their_prefix(store: Storage) -> None:
    await add(store, "b", "a", "c", namespace="two")
    await add(store, "z", namespace="one")
    await store.create("core/nodes/n", pod("n"))
    await store.create("core/pods-x/two/q", pod("q"))
    assert names(store.list(PODS)) == ["z", "a", "b", "c"]
    assert names(store.list(f"{PODS}two/")) == ["a", "b", "c"]
    assert names(store.list("core/")) == ["n", "q", "z", "a", "b", "c"]
    assert [store.count(p) for p in (PODS, f"{PODS}two/", "core/nodes/", "core/", "")] == [4, 3, 1, 6, 6]


async def test_order_is_bytewise(store: Storage) -> None:
    await add(store, "a-b", "a", "a.b", "B", "é", "a0")
    keys = [r.key for r in store.list(PODS).records]
    assert keys == sorted(keys, key=str.encode)


async def test_pages_are_stable_at_their_revision(store: Storage) -> None:
    a, _, c, _, e = await add(store, "a", "b", "c", "d", "e")
    first = store.list(PODS, limit=2)
    await store.delete(a.key, expect=a.revision)
    await store.update(c.key, pod("c", changed=True), expect=c.revision)
    await store.delete(e.key, expect=e.revision)
    await add(store, "bb", "f")
    second = store.list(PODS, limit=2, start=first.next_key, revision=first.revision)
    third = store.list(PODS, limit=2, start=second.next_key, revision=first.revision)
    assert [names(p) for p in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert [p.remaining for p in (first, second, third)] == [3, 1, 0]
    assert second.records[0] is c
    assert third.next_key == ""
    assert names(store.list(PODS)) == ["b", "bb", "c", "d", "f"]


async def test_the_past_is_told_through_many_changes_of_one_key(store: Storage) -> None:
    (first,) = await add(store, "a")
    second = await store.update(first.key, pod("a", x=1), expect=first.revision)
    third = await store.update(first.key, pod("a", x=2), expect=second.revision)
    gone = await store.delete(first.key, expect=third.revision)
    (again,) = await add(store, "a")
    seen = [list(store.list(PODS, revision=Revision(r)).records) for r in range(1, again.revision + 1)]
    assert gone.revision == 5
    assert seen == [[], [first], [second], [third], [], [again]]


async def test_a_list_in_the_future_or_past_knowledge_is_refused(store: Storage) -> None:
    await add(store, "a", "b")
    with pytest.raises(ValueError, match="future"):
        store.list(PODS, revision=Revision(99))
    with pytest.raises(ValueError, match="future"):
        store.watch(PODS, after=Revision(99))
    await store.compact(Revision(3))
    with pytest.raises(CompactedError):
        store.list(PODS, revision=Revision(2))
    assert names(store.list(PODS, revision=Revision(3))) == ["a", "b"]


async def test_changed_moves_only_with_its_prefix(store: Storage) -> None:
    (record,) = await add(store, "a", namespace="one")
    await add(store, "b", namespace="two")
    assert store.changed(f"{PODS}one/") == record.revision
    assert store.changed(PODS) == store.revision
    before = store.changed("core/nodes/")
    await store.delete(record.key, expect=record.revision)
    assert store.changed(f"{PODS}one/") == store.revision
    assert store.changed("core/nodes/") == before


# watches


async def test_watches_see_their_events_in_order(store: Storage) -> None:
    everything, ones = store.watch(PODS, after=Revision(1)), store.watch(f"{PODS}one/", after=Revision(1))
    (a,) = await add(store, "a", namespace="one")
    await add(store, "b", namespace="two")
    changed = await store.update(a.key, pod("a", x=1), expect=a.revision)
    await store.delete(a.key, expect=changed.revision)
    seen = [(e.type, e.record.key[-1], e.record.revision) for e in await take(everything, 4)]
    assert seen == [("ADDED", "a", 2), ("ADDED", "b", 3), ("MODIFIED", "a", 4), ("DELETED", "a", 5)]
    assert [e.record.revision for e in await take(ones, 3)] == [2, 4, 5]


async def test_a_watch_resumes_after_any_known_revision(store: Storage) -> None:
    await add(store, *"abcde")
    for after in range(1, 7):
        watch = store.watch(PODS, after=Revision(after))
        await asyncio.sleep(0)
        expected = list(range(after + 1, 7))
        if expected:
            assert [e.record.revision for e in await take(watch, len(expected))] == expected
        watch.close()


async def test_a_watch_may_be_read_before_anything_happens(store: Storage) -> None:
    watch = store.watch(PODS, after=store.revision)
    reader = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0)
    await add(store, "a")
    assert [e.record.key for e in await reader] == [f"{PODS}default/a"]


async def test_a_compacted_revision_cannot_be_resumed(store: Storage) -> None:
    await add(store, "a", "b", "c")
    await store.compact(Revision(3))
    with pytest.raises(CompactedError):
        store.watch(PODS, after=Revision(2))
    assert [e.record.revision for e in await take(store.watch(PODS, after=Revision(3)), 1)] == [4]


async def test_history_is_bounded_by_count(open_store: Open) -> None:
    store = open_store(window=Window(events=5))
    await add(store, *"abcdefgh")
    with pytest.raises(CompactedError):
        store.watch(PODS, after=Revision(3))
    assert len(await take(store.watch(PODS, after=Revision(4)), 5)) == 5


async def test_history_is_bounded_by_bytes(open_store: Open) -> None:
    store = open_store(window=Window(bytes=1000))
    for name in "abcdefgh":
        await store.create(f"{PODS}default/{name}", pod(name, text="x" * 250))
    with pytest.raises(CompactedError):
        store.watch(PODS, after=Revision(5))
    assert len(await take(store.watch(PODS, after=Revision(6)), 3)) == 3


async def test_a_slow_watcher_is_cut_off_and_slows_nobody(open_store: Open) -> None:
    store = open_store(watch_buffer=3)
    slow, quick = store.watch(PODS, after=Revision(1)), store.watch(PODS, after=Revision(1))
    seen: list[Event] = []
    for name in "abcdef":
        await add(store, name)
        seen += await take(quick, 1)
    assert [e.record.revision for e in seen] == list(range(2, 8))
    with pytest.raises(CompactedError):
        await take(slow, 1)


async def test_closing_a_watch_ends_it_and_closing_the_store_ends_all(store: Storage) -> None:
    one, other = store.watch(PODS, after=Revision(1)), store.watch(PODS, after=Revision(1))
    one.close()
    one.close()
    await add(store, "a")
    await store.close()
    assert [b async for b in one] == []
    assert [e.type for b in [b async for b in other] for e in b] == ["ADDED"]


async def test_a_waiting_reader_ends_with_the_store(store: Storage) -> None:
    reader = asyncio.ensure_future(take(store.watch(PODS, after=Revision(1)), 1))
    await asyncio.sleep(0)
    await store.close()
    assert await reader == []


# the law, at random

_KEYS = st.sampled_from([f"{PODS}{ns}/{name}" for ns in ("one", "two") for name in "abc"] + ["core/nodes/n", "apps/pods/one/a"])
_PREFIXES = st.sampled_from([PODS, f"{PODS}one/", "core/nodes/", "core/", "apps/", ""])
State = dict[str, int]


class Law(RuleBasedStateMachine):
    """Random writes, watches, pages, compactions and restarts against a model that keeps every state."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lateen-law-"))
        self.runner = asyncio.Runner()
        self.store = self.open()
        self.states: dict[int, State] = {1: {}}
        self.log: list[tuple[str, str, int, int | None]] = []
        self.floor = 1
        self.watches: list[tuple[Watch, str, list[tuple[str, str, int, int | None]], int]] = []
        self.pages: list[tuple[str, Page]] = []

    def open(self) -> Storage:
        raise NotImplementedError

    def run(self, work: Awaitable[Any]) -> Any:
        async def wrapped() -> Any:
            return await work

        return self.runner.run(wrapped())

    @property
    def now(self) -> State:
        return self.states[self.store.revision]

    def wrote(self, kind: str, key: str, record: Record) -> None:
        before = self.states[record.revision - 1]
        self.states[record.revision] = {k: v for k, v in {**before, key: record.revision}.items() if (k, kind) != (key, "DELETED")}
        self.log.append((kind, key, record.revision, before.get(key)))

    @rule(key=_KEYS)
    def create(self, key: str) -> None:
        if key in self.now:
            with pytest.raises(KeyExistsError):
                self.run(self.store.create(key, {}))
        else:
            self.wrote("ADDED", key, self.run(self.store.create(key, {})))

    @rule(key=_KEYS, off=st.sampled_from([0, 0, 0, 1, -1]))
    def update(self, key: str, off: int) -> None:
        self.change("MODIFIED", key, off, lambda expect: self.store.update(key, {}, expect=expect))

    @rule(key=_KEYS, off=st.sampled_from([0, 0, 1]))
    def delete(self, key: str, off: int) -> None:
        self.change("DELETED", key, off, lambda expect: self.store.delete(key, expect=expect))

    def change(self, kind: str, key: str, off: int, act: Callable[[Revision], Awaitable[Record]]) -> None:
        if key not in self.now:
            with pytest.raises(KeyMissingError):
                self.run(act(Revision(1)))
        elif off:
            with pytest.raises(RevisionConflictError):
                self.run(act(Revision(self.now[key] + off)))
        else:
            self.wrote(kind, key, self.run(act(Revision(self.now[key]))))

    @rule(keys=st.lists(_KEYS, min_size=2, max_size=6))
    def write_together(self, keys: list[str]) -> None:
        """Concurrent creates: each key is won once, and revisions follow the order of the calls."""
        free = [k for k in dict.fromkeys(keys) if k not in self.now]

        async def together() -> list[Any]:
            return await asyncio.gather(*(self.store.create(k, {}) for k in keys), return_exceptions=True)

        outcomes = self.runner.run(together())
        won = sorted((o for o in outcomes if isinstance(o, Record)), key=lambda r: r.revision)
        assert [r.key for r in won] == free
        for record in won:
            self.wrote("ADDED", record.key, record)

    @rule(prefix=_PREFIXES, back=st.integers(0, 12))
    def watch(self, prefix: str, back: int) -> None:
        after = max(1, self.store.revision - back)
        if after < self.floor:
            with pytest.raises(CompactedError):
                self.store.watch(prefix, after=Revision(after))
        else:
            self.watches.append((self.store.watch(prefix, after=Revision(after)), prefix, [], after))

    @rule()
    def read_watches(self) -> None:
        for watch, prefix, seen, after in self.watches:
            expected = [e for e in self.log if e[2] > after and e[1].startswith(prefix)]
            if len(expected) > len(seen):
                seen += [
                    (e.type, e.record.key, e.record.revision, e.previous.revision if e.previous else None)
                    for e in self.run(take(watch, len(expected) - len(seen)))
                ]
            assert seen == expected

    @rule(prefix=_PREFIXES, limit=st.integers(1, 3))
    def start_pages(self, prefix: str, limit: int) -> None:
        self.check_page(prefix, "", self.store.list(prefix, limit=limit))

    @rule(prefix=_PREFIXES, limit=st.integers(0, 3), back=st.integers(0, 20))
    def list_the_past(self, prefix: str, limit: int, back: int) -> None:
        revision = Revision(max(1, self.store.revision - back))
        if revision < self.floor:
            with pytest.raises(CompactedError):
                self.store.list(prefix, limit=limit, revision=revision)
        else:
            self.check_page(prefix, "", self.store.list(prefix, limit=limit, revision=revision))

    @precondition(lambda self: self.pages)
    @rule(limit=st.integers(1, 3))
    def next_page(self, limit: int) -> None:
        prefix, page = self.pages.pop(0)
        if page.revision < self.floor:
            with pytest.raises(CompactedError):
                self.store.list(prefix, limit=limit, start=page.next_key, revision=page.revision)
        else:
            following = self.store.list(prefix, limit=limit, start=page.next_key, revision=page.revision)
            self.check_page(prefix, page.next_key, following)

    def check_page(self, prefix: str, start: str, page: Page) -> None:
        expected = sorted((k, r) for k, r in self.states[page.revision].items() if k.startswith(prefix) and k >= start)
        size = len(page.records)
        assert [(r.key, r.revision) for r in page.records] == expected[:size]
        assert (page.remaining, page.next_key) == (len(expected) - size, expected[size][0] if len(expected) > size else "")
        if page.next_key:
            self.pages.append((prefix, page))

    @rule(back=st.integers(0, 12))
    def compact(self, back: int) -> None:
        revision = max(1, self.store.revision - back)
        self.run(self.store.compact(Revision(revision)))
        self.floor = max(self.floor, revision)

    @invariant()
    def reads_agree(self) -> None:
        assert self.store.revision == 1 + len(self.log)
        for prefix in ("", PODS, f"{PODS}one/"):
            expected = sorted((k, r) for k, r in self.now.items() if k.startswith(prefix))
            assert [(r.key, r.revision) for r in self.store.list(prefix).records] == expected
            assert self.store.count(prefix) == len(expected)
            newest = max((r for _, k, r, _ in self.log if k.startswith(prefix)), default=1)
            assert self.store.changed(prefix) >= newest

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)


class MemoryLaw(Law):
    def open(self) -> Storage:
        return MemoryStorage()


class SqliteLaw(Law):
    def open(self) -> Storage:
        return SqliteStorage.open(self.folder / "state.db")

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.store = self.open()
        self.watches = [
            (self.store.watch(prefix, after=Revision(after)), prefix, [], after)
            for _, prefix, _, after in self.watches
            if after >= self.floor
        ]


TestMemoryLaw = MemoryLaw.TestCase
TestSqliteLaw = SqliteLaw.TestCase
_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
TestMemoryLaw.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=_CHECKS)
TestSqliteLaw.settings = settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=_CHECKS)
