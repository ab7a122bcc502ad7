"""The controller kit: one switch for every end of a reconcile, events that never hurt, finalizers."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from lateen.aio.clock import VirtualClock, settle
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.errors import ConflictError, NotFoundError, TerminalError, TransportError
from lateen.kube.meta import Key, Object, meta
from lateen.kube.resources import CONFIGMAPS, EVENTS
from lateen.reconcile import DONE, Controller, Manager, Result, Source, finalizers
from lateen.reconcile.events import Recorder


def config(name: str = "a", **metadata: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default", **metadata}}


class Scripted:
    """A reconciler that does what it is told, then is done."""

    def __init__(self) -> None:
        self.script: list[Result | Exception] = []
        self.times: list[float] = []
        self.clock = VirtualClock()

    async def reconcile(self, key: Key) -> Result:
        self.times.append(round(self.clock.monotonic(), 3))
        answer = self.script.pop(0) if self.script else DONE
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[Scripted, Controller]]:
    reconciler = Scripted()
    controller = Controller(name="test", reconciler=reconciler, sources=[], clock=reconciler.clock, workers=2)
    async with TaskOwner("test") as owner:
        controller.start(owner)
        yield reconciler, controller


Pair = tuple[Scripted, Controller]
K = Key("n", "a")


async def test_counters_stand_at_0_and_each_end_counts(scripted: Pair) -> None:
    reconciler, controller = scripted
    c = controller.counters
    assert (c.done, c.requeued, c.conflicts, c.errors, c.terminal) == (0, 0, 0, 0, 0)
    reconciler.script = [Result(5.0), ConflictError("newer"), TransportError("down"), ValueError("defect"), TerminalError("never")]
    controller.queue.add(K)
    await reconciler.clock.advance(100)
    assert (c.done, c.requeued, c.conflicts, c.errors, c.terminal) == (0, 1, 1, 2, 1)
    # at once; after 5 s; then backing off 5, 10, 20 ms; terminal: never again
    assert reconciler.times == [0, 5, 5.005, 5.015, 5.035]


async def test_success_forgets_the_back_off(scripted: Pair) -> None:
    reconciler, controller = scripted
    reconciler.script = [TransportError("down")] * 3
    controller.queue.add(K)
    await reconciler.clock.advance(10)
    reconciler.script = [TransportError("down")]
    controller.queue.add(K)
    await reconciler.clock.advance(1)
    assert reconciler.times[-1] == 10.005


async def test_sources_filter_map_and_gather(client: Client) -> None:
    clock = VirtualClock()
    informers = InformerSet(client, clock)
    maps = informers.informer(CONFIGMAPS)
    seen: list[Key] = []

    class Noting:
        async def reconcile(self, key: Key) -> Result:
            seen.append(key)
            return DONE

    def owners(obj: Object) -> list[Key]:
        return [Key("default", obj["data"]["owner"])]

    source = Source(informer=maps, keys=owners, predicate=lambda _, new: new is not None and "data" in new, delay=0.5)
    controller = Controller(name="test", reconciler=Noting(), sources=[source], clock=clock)
    async with TaskOwner("test") as owner:
        informers.start(owner)
        await Manager([controller], informers).start(owner)
        await client.create(CONFIGMAPS, config("one") | {"data": {"owner": "x"}})
        await client.create(CONFIGMAPS, config("two") | {"data": {"owner": "x"}})
        await client.create(CONFIGMAPS, config("none"))
        await settle()
        assert seen == []
        await clock.advance(0.6)
        assert seen == [Key("default", "x")]


async def events(client: Client) -> list[Object]:
    return sorted((await client.list(EVENTS, "default")).items, key=lambda e: str(e["message"]))


async def sent(client: Client, clock: VirtualClock, record: Callable[[Recorder], None]) -> Recorder:
    recorder = Recorder(client, clock, component="test")
    async with TaskOwner("test") as owner:
        record(recorder)  # before it starts: nothing is lost
        recorder.start(owner)
        await settle(3000)
    return recorder


async def test_repeated_events_are_counted(client: Client) -> None:
    def record(recorder: Recorder) -> None:
        for _ in range(3):
            recorder.warning(config(uid="u"), "BackOff", "again", field="spec")

    await sent(client, VirtualClock(), record)
    (event,) = await events(client)
    assert event["count"] == 3
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "BackOff", "again")
    assert event["involvedObject"]["fieldPath"] == "spec"
    assert event["source"] == {"component": "test"}


async def test_everybody_speaks_by_their_own_name(client: Client) -> None:
    def record(recorder: Recorder) -> None:
        recorder.named("job-controller").normal(config(uid="u"), "Same", "text")
        recorder.named("cronjob-controller").normal(config(uid="u"), "Same", "text")

    await sent(client, VirtualClock(), record)
    found = await events(client)
    assert {e["source"]["component"] for e in found} == {"job-controller", "cronjob-controller"}
    assert all(e["reportingComponent"] == e["source"]["component"] for e in found)


async def test_a_flood_becomes_few_events(client: Client) -> None:
    def record(recorder: Recorder) -> None:
        for i in range(1000):
            recorder.normal(config(uid="u"), "SuccessfulCreate", f"Created pod: p{i:03}")
        recorder.normal(config("other", uid="v"), "Other", "heard all the same")

    recorder = await sent(client, VirtualClock(), record)
    found = await events(client)
    assert len(found) == 12  # 10, one for all the rest, and the other object's
    assert found[0]["message"] == "(combined from similar events): Created pod: p024"
    assert found[0]["count"] == 15
    assert recorder.dropped == 975


async def test_events_of_a_lost_server_are_forgotten(client: Client) -> None:
    async def refuse(_: Any) -> Any:
        raise TransportError("down")

    class Down:
        send = staticmethod(refuse)

        async def close(self) -> None: ...

    await sent(Client(Down()), VirtualClock(), lambda r: r.normal(config(uid="u"), "A", "b"))


async def test_finalizers_hold_and_let_go(client: Client) -> None:
    made = await client.create(CONFIGMAPS, config())
    held = await finalizers.ensure(client, CONFIGMAPS, made, "lateen.dev/test")
    assert finalizers.holds(held, "lateen.dev/test")
    assert await finalizers.ensure(client, CONFIGMAPS, held, "lateen.dev/test") is held
    with pytest.raises(ConflictError):
        await finalizers.ensure(client, CONFIGMAPS, made, "lateen.dev/other")
    await client.delete(CONFIGMAPS, "a", "default")
    going = await client.get(CONFIGMAPS, "a", "default")
    assert finalizers.deleting(going)
    assert meta(await finalizers.ensure(client, CONFIGMAPS, going, "lateen.dev/late"))["finalizers"] == ["lateen.dev/test"]
    await finalizers.release(client, CONFIGMAPS, going, "lateen.dev/test")
    with pytest.raises(NotFoundError):
        await client.get(CONFIGMAPS, "a", "default")
    await finalizers.release(client, CONFIGMAPS, going, "lateen.dev/test")  # gone already
