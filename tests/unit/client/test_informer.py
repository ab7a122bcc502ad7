"""Informers against a server that is played by hand, and against the real one in process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lateen.aio.clock import SystemClock, VirtualClock, settle
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import Informer, InformerSet
from lateen.client.seam import Request, Response, WatchEvent
from lateen.errors import TransportError
from lateen.kube.meta import Key, Object, meta
from lateen.kube.resources import CONFIGMAPS


def config(name: str, version: int, uid: str = "", namespace: str = "n", **data: str) -> Object:
    metadata = {"name": name, "namespace": namespace, "uid": uid or name, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class Played:
    """A transport whose lists and watches the test decides."""

    def __init__(self) -> None:
        self.lists: list[Any] = []
        self.watches: list[str] = []
        self.listed = 0
        self.stream: asyncio.Queue[Any] = asyncio.Queue()
        self.down = False

    async def send(self, request: Request) -> Response:
        if self.down:
            raise TransportError("down")
        if "watch" in request.query:
            self.watches.append(str(request.query["resourceVersion"]))
            return Response(status=200, events=self._events())
        self.listed += 1
        version, items, *more = self.lists.pop(0)
        m = {"resourceVersion": str(version), "continue": more[0] if more else ""}
        return Response(status=200, object={"kind": "ConfigMapList", "metadata": m, "items": items})

    async def _events(self) -> AsyncIterator[WatchEvent]:
        while (event := await self.stream.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def close(self) -> None:
        pass


class Seen:
    def __init__(self, informer: Informer) -> None:
        self.events: list[str] = []
        informer.subscribe(self.handle)

    def handle(self, old: Object | None, new: Object | None) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        obj = new or old or {}
        self.events.append(f"{sign}{meta(obj)['name']}@{meta(obj)['resourceVersion']}")

    def take(self) -> list[str]:
        events, self.events = self.events, []
        return events


class Scene:
    def __init__(self, owner: TaskOwner) -> None:
        self.clock, self.server, self.owner = VirtualClock(), Played(), owner
        self.informer = Informer(Client(self.server), CONFIGMAPS, clock=self.clock, draw=lambda: 0.0)
        self.seen = Seen(self.informer)

    async def start(self) -> None:
        self.owner.start(self.informer.run(), "informer")
        await settle()

    async def event(self, kind: str, obj: Object) -> None:
        self.server.stream.put_nowait(WatchEvent(kind, obj))
        await settle()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with TaskOwner("test") as owner:
        yield Scene(owner)


async def test_pages_then_events(scene: Scene) -> None:
    scene.server.lists = [(5, [config("a", 1)], "more"), (5, [config("b", 2)])]
    await scene.start()
    assert scene.informer.has_synced
    assert scene.server.listed == 2
    assert scene.server.watches == ["5"]
    await scene.event("MODIFIED", config("a", 6))
    await scene.event("DELETED", config("b", 7))
    await scene.event("ADDED", config("c", 8))
    assert scene.seen.take() == ["+a@1", "+b@2", "~a@6", "-b@7", "+c@8"]
    assert scene.informer.get(Key("n", "b")) is None
    assert scene.informer.resource_version == "8"


async def test_listed_items_get_their_kind(scene: Scene) -> None:
    bare = {k: v for k, v in config("a", 1).items() if k not in ("kind", "apiVersion")}
    scene.server.lists = [(5, [bare])]
    await scene.start()
    found = scene.informer.get(Key("n", "a"))
    assert found is not None
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")


async def test_a_broken_watch_resumes_where_it_was(scene: Scene) -> None:
    scene.server.lists = [(5, [])]
    await scene.start()
    await scene.event("BOOKMARK", config("", 9))
    scene.server.stream.put_nowait(TransportError("cut"))
    await settle()
    await scene.clock.advance(1)
    assert scene.server.watches == ["5", "9"]
    assert scene.server.listed == 1


async def test_an_expired_watch_lists_again_and_tells_only_differences(scene: Scene) -> None:
    scene.server.lists = [(5, [config("a", 1), config("b", 2), config("d", 4)])]
    await scene.start()
    scene.seen.take()
    scene.server.lists = [(20, [config("b", 2), config("c", 11), config("d", 12, uid="another")])]
    await scene.event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
    await scene.clock.advance(1)
    assert scene.seen.take() == ["-a@1", "+c@11", "-d@4", "+d@12"]
    assert scene.server.watches == ["5", "20"]


async def test_a_server_that_is_down_is_asked_ever_less(scene: Scene) -> None:
    scene.server.down = True
    await scene.start()
    asked = 0

    async def count(request: Request) -> Response:
        nonlocal asked
        asked += 1
        raise TransportError("down")

    scene.server.send = count  # type: ignore[method-assign]
    await scene.clock.advance(100)
    assert 15 <= asked <= 30


async def test_a_watch_that_ends_at_once_does_not_spin(scene: Scene) -> None:
    scene.server.lists = [(5, [])]
    for _ in range(1000):
        scene.server.stream.put_nowait(None)
    await scene.start()
    await scene.clock.advance(10)
    assert len(scene.server.watches) < 12


async def test_own_writes_show_before_the_watch(scene: Scene) -> None:
    scene.server.lists = [(5, [config("a", 1)])]
    await scene.start()
    scene.seen.take()
    scene.informer.wrote(config("a", 9, v="mine"))
    assert scene.seen.take() == ["~a@9"]
    await scene.event("MODIFIED", config("a", 7))  # an older state, that came in between
    await scene.event("MODIFIED", config("a", 9, v="mine"))
    assert scene.seen.take() == []
    await scene.event("MODIFIED", config("a", 10))
    assert scene.seen.take() == ["~a@10"]


async def test_an_answer_that_comes_late_raises_nothing_from_the_dead(scene: Scene) -> None:
    scene.server.lists = [(5, [])]
    await scene.start()
    await scene.event("ADDED", config("a", 6))
    await scene.event("DELETED", config("a", 7))
    scene.seen.take()
    scene.informer.wrote(config("a", 6))
    assert scene.seen.take() == []
    assert scene.informer.get(Key("n", "a")) is None


async def test_a_new_list_keeps_own_writes_that_are_newer(scene: Scene) -> None:
    scene.server.lists = [(5, [])]
    await scene.start()
    scene.informer.wrote(config("a", 30))
    scene.server.lists = [(20, [])]
    await scene.event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
    await scene.clock.advance(1)
    assert scene.informer.get(Key("n", "a")) is not None
    await scene.event("DELETED", config("a", 31))
    assert scene.informer.get(Key("n", "a")) is None


async def test_indexes_follow(scene: Scene) -> None:
    scene.informer.add_index("color", lambda o: (o["data"]["color"],))
    scene.server.lists = [(5, [config("a", 1, color="red"), config("b", 2, color="red")])]
    await scene.start()
    assert {meta(o)["name"] for o in scene.informer.by_index("color", "red")} == {"a", "b"}
    await scene.event("MODIFIED", config("a", 6, color="blue"))
    await scene.event("DELETED", config("b", 7, color="red"))
    assert scene.informer.by_index("color", "red") == []
    assert [meta(o)["name"] for o in scene.informer.by_index("color", "blue")] == ["a"]
    scene.informer.add_index("late", lambda o: ("x",))
    assert len(scene.informer.by_index("late", "x")) == 1


async def test_a_handler_that_fails_stops_nothing(scene: Scene) -> None:
    def bad(old: Object | None, new: Object | None) -> None:
        raise ValueError("defect")

    scene.server.lists = [(5, [])]
    await scene.start()
    scene.informer.subscribe(bad)
    after = Seen(scene.informer)
    await scene.event("ADDED", config("a", 6))
    assert after.take() == ["+a@6"]


async def test_a_set_shares_and_drops(client: Client) -> None:
    informers = InformerSet(client, SystemClock())
    async with TaskOwner("test") as owner:
        informers.start(owner)
        found = informers.informer(CONFIGMAPS)
        assert informers.informer(CONFIGMAPS) is found
        writer = Client(client.transport, on_write=informers.wrote)
        await informers.synced()
        made = await writer.create(
            CONFIGMAPS, {"metadata": {"name": "a", "namespace": "default"}, "kind": "ConfigMap", "apiVersion": "v1"}
        )
        assert found.get(Key("default", "a")) == made
        informers.drop(found)
        assert informers.informer(CONFIGMAPS) is not found
