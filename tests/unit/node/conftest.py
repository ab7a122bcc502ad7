"""The world of a node agent, for tests of pods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pod_world import World

from lateen.aio.clock import VirtualClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.storage.memory import MemoryStorage


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock, storage = VirtualClock(), MemoryStorage()
    async with ApiServer(storage, clock=clock) as server, TaskOwner("test") as owner:
        world = World(Client(InProcessTransport(server.handler_for(ADMIN))), clock, tmp_path, owner)
        owner.start(world.agent.run(), "agent")
        while not world.agent.ready.is_set():
            await world.step(0.01)
        yield world
