"""Leader election on a virtual clock, against the API server in process."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lateen.aio.clock import VirtualClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.seam import Request, Response
from lateen.errors import TransportError
from lateen.kube.resources import LEASES
from lateen.reconcile.leases import Election


class Cuttable:
    def __init__(self, client: Client) -> None:
        self.inner, self.cut, self.hang = client.transport, False, False

    async def send(self, request: Request) -> Response:
        if self.hang:
            await asyncio.Event().wait()
        if self.cut:
            raise TransportError("cut")
        return await self.inner.send(request)

    async def close(self) -> None: ...


class Candidate:
    def __init__(self, client: Client, clock: VirtualClock, name: str) -> None:
        self.wire, self.clock = Cuttable(client), clock
        self.election = Election(Client(self.wire), clock, name="l", namespace="default", identity=name)
        self.leads = False

    async def lead(self) -> None:
        self.leads = True
        try:
            await self.clock.sleep(10_000)
        finally:
            self.leads = False


Two = tuple[Candidate, Candidate, VirtualClock, TaskOwner]


@pytest.fixture
async def two(client: Client) -> AsyncIterator[Two]:
    clock = VirtualClock()
    async with TaskOwner("test") as owner:
        yield Candidate(client, clock, "a"), Candidate(client, clock, "b"), clock, owner


async def test_one_leads_and_the_other_follows_at_once_when_it_leaves(two: Two, client: Client) -> None:
    a, b, clock, owner = two
    running = owner.start(a.election.run(a.lead), "a")
    await clock.advance(1)
    owner.start(b.election.run(b.lead), "b")
    await clock.advance(60)
    assert (a.leads, b.leads) == (True, False)
    running.cancel()
    await clock.advance(3)  # one retry, not the whole duration: it gave the Lease back
    assert (a.leads, b.leads) == (False, True)
    spec = (await client.get(LEASES, "l", "default"))["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("b", 1)


@pytest.mark.parametrize("way", ["cut", "hang"])
async def test_a_leader_that_is_cut_off_stops_before_another_begins(two: Two, way: str) -> None:
    a, b, clock, owner = two
    owner.start(a.election.run(a.lead), "a")
    await clock.advance(1)
    owner.start(b.election.run(b.lead), "b")
    await clock.advance(5)
    setattr(a.wire, way, True)
    for _ in range(400):
        await clock.advance(0.1)
        assert not (a.leads and b.leads)
    assert (a.leads, b.leads) == (False, True)


async def test_a_leader_ends_with_its_work(two: Two) -> None:
    a, _, clock, owner = two

    async def short() -> None:
        await clock.sleep(3)

    running = owner.start(a.election.run(short), "a")
    await clock.advance(5)
    assert running.done()
    assert not a.election.leading
