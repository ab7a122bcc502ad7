"""The pytest plugin: ``pytest_plugins = ["lateen.testing.plugin"]`` gives the fixture ``lateen_cluster`` (needs pytest-asyncio).

``@pytest.mark.lateen_cluster(nodes=1, fake_nodes=0)`` says what nodes it has; without the mark, one hollow node.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lateen.testing.embedded import EmbeddedCluster, embedded_cluster


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "lateen_cluster(nodes=0, fake_nodes=1): the nodes of the fixture lateen_cluster")


@pytest_asyncio.fixture
async def lateen_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EmbeddedCluster]:
    """An embedded cluster in the test's own event loop."""
    mark = request.node.get_closest_marker("lateen_cluster")
    async with embedded_cluster(tmp_path / "lateen", **(mark.kwargs if mark else {})) as cluster:
        yield cluster
