"""Watch: where streams start, selectors, bookmarks, timeouts, history that is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from lateen.aio.clock import VirtualClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.client.seam import Request, Response
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.storage.memory import MemoryStorage
from lateen.errors import ExpiredError, InvalidError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS

PATH = "/api/v1/namespaces/default/configmaps"


class World:
    """An API server on a virtual clock."""

    def __init__(self, server: ApiServer, storage: MemoryStorage, clock: VirtualClock) -> None:
        self.server, self.storage, self.clock = server, storage, clock
        self.handle = server.handler_for(ADMIN)
        self.client = Client(InProcessTransport(self.handle))

    async def make(self, name: str, **labels: str) -> Object:
        return await self.client.create(CONFIGMAPS, {"metadata": {"name": name, "namespace": "default", "labels": labels}})

    async def watch(self, **query: str) -> Response:
        return await self.handle(Request(method="GET", path=PATH, query={"watch": "true", **query}))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, storage = VirtualClock(), MemoryStorage()
    async with ApiServer(storage, clock=clock) as server:
        yield World(server, storage, clock)
    await storage.close()


async def take(response: Response, count: int) -> list[Any]:
    assert response.events is not None, response.object
    return [await anext(response.events) for _ in range(count)]


def told(events: list[Any]) -> list[tuple[str, str]]:
    return [(e.type, e.object["metadata"].get("name", "")) for e in events]


async def test_without_a_revision_it_starts_with_what_is_there(world: World) -> None:
    await world.make("a")
    await world.make("b")
    response = await world.watch()
    assert told(await take(response, 2)) == [("ADDED", "a"), ("ADDED", "b")]
    await world.make("c")
    assert told(await take(response, 1)) == [("ADDED", "c")]


async def test_initial_events_end_with_a_bookmark(world: World) -> None:
    await world.make("a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    response = await world.watch(**query)
    first, mark = await take(response, 2)
    assert (first.type, mark.type) == ("ADDED", "BOOKMARK")
    assert mark.object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark.object["metadata"]["resourceVersion"] == str(world.storage.revision)


async def test_initial_events_need_their_options(world: World) -> None:
    response = await world.watch(sendInitialEvents="true")
    assert response.status == InvalidError.code
    assert "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan" in response.object["message"]


async def test_bookmarks_come_each_minute_and_the_stream_ends_in_time(world: World) -> None:
    response = await world.watch(resourceVersion=str(world.storage.revision), allowWatchBookmarks="true", timeoutSeconds="90")
    assert response.events is not None
    seen: list[str] = []

    async def read(events: AsyncIterator[Any]) -> None:
        async for event in events:
            seen.append(event.type)  # noqa: PERF401 - seen is looked at meanwhile
        seen.append("end")

    async with TaskOwner("test") as owner:
        owner.start(read(response.events), "reader")
        for _ in range(61):
            await world.clock.advance(1)
        assert seen == ["BOOKMARK"]
        for _ in range(30):
            await world.clock.advance(1)
        assert seen == ["BOOKMARK", "end"]
    assert len(world.server.backend.streams) == 0


async def test_a_selector_makes_adds_and_deletes_of_changes(world: World) -> None:
    made = await world.make("a", app="web")
    response = await world.watch(resourceVersion=made["metadata"]["resourceVersion"], labelSelector="app in (web,api),!old")
    for labels in ({"app": "db"}, {"app": "api"}, {"app": "web"}, {"app": "web", "old": "yes"}):
        await world.client.patch(CONFIGMAPS, "a", {"metadata": {"labels": labels}}, namespace="default")
    await world.client.delete(CONFIGMAPS, "a", "default")
    events = await take(response, 4)
    assert [e.type for e in events] == ["DELETED", "ADDED", "MODIFIED", "DELETED"]
    assert events[0].object["metadata"]["labels"] == {"app": "web"}, "the last state that matched"
    revisions = [int(e.object["metadata"]["resourceVersion"]) for e in events]
    assert revisions == sorted(set(revisions))


async def test_history_that_is_gone_is_410(world: World) -> None:
    await world.make("a")
    await world.storage.compact(world.storage.revision)
    response = await world.watch(resourceVersion="2")
    assert (response.status, response.object["reason"]) == (410, "Expired")
    with pytest.raises(ExpiredError):
        await world.client.raw("GET", PATH, query={"resourceVersion": "2", "resourceVersionMatch": "Exact"})


async def test_the_future_is_a_timeout(world: World) -> None:
    for query in ({"resourceVersion": "999999"}, {"resourceVersion": "999999", "watch": "true"}):
        response = await world.handle(Request(method="GET", path=PATH, query=query))
        assert (response.status, response.object["reason"]) == (504, "Timeout")
        assert "Too large resource version: 999999" in response.object["message"]


async def test_a_continue_token_outlives_changes_but_not_compaction(world: World) -> None:
    for name in "abc":
        await world.make(name)
    page = await world.client.list(CONFIGMAPS, "default", limit=1)
    await world.client.delete(CONFIGMAPS, "b", "default")
    rest = await world.client.list(CONFIGMAPS, "default", continue_token=page.continue_token)
    assert [o["metadata"]["name"] for o in rest.items] == ["b", "c"]
    await world.storage.compact(world.storage.revision)
    response = await world.handle(Request(method="GET", path=PATH, query={"continue": page.continue_token}))
    assert response.status == 410
    later = await world.client.list(CONFIGMAPS, "default", continue_token=response.object["metadata"]["continue"])
    assert [o["metadata"]["name"] for o in later.items] == ["c"]


async def test_a_table_describes_its_columns_once(world: World) -> None:
    await world.make("a")
    request = Request(method="GET", path=PATH, query={"watch": "true"}, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    response = await world.handle(request)
    first = (await take(response, 1))[0].object
    await world.make("b")
    second = (await take(response, 1))[0].object
    assert [c["name"] for c in first["columnDefinitions"]] == ["Name", "Data", "Age"] and second["columnDefinitions"] is None
    assert second["rows"][0]["cells"] == ["b", 0, "0s"]
