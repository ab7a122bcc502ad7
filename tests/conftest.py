"""Fixtures shared by every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.storage.memory import MemoryStorage


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    """An API server on memory storage."""
    storage = MemoryStorage()
    async with ApiServer(storage) as server:
        yield server
    await storage.close()


@pytest.fixture
def client(api: ApiServer) -> Client:
    """A client with every right to ``api``, in process."""
    return Client(InProcessTransport(api.handler_for(ADMIN)))
