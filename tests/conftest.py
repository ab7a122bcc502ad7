"""Fixtures shared by every test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lateen.client.client import Client
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.storage.memory import MemoryStorage

pytest_plugins = ["lateen.testing.plugin"]
Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden files anew instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """``golden(path, text)``: the text must be what the golden file holds; ``--rewrite`` writes it."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--rewrite"):
            path.write_text(text)
        assert path.exists(), f"{path} does not exist: run pytest with --rewrite and read what it wrote"
        assert text == path.read_text()

    return check


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
