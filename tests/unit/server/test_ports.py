"""A cluster's ports: kept while they can be had; what the user asked for is never exchanged for another."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from lateen.errors import FailedError, InputError
from lateen.server.ports import Purpose, choose_port
from lateen.shim.client import ShimClient


class Shim:
    """Leases to others are ``leased``."""

    def __init__(self, *leased: str) -> None:
        self.leased = leased

    async def lease(self, kind: str, names: Sequence[str]) -> str:
        free = [n for n in names if n not in self.leased]
        if not free:
            raise FailedError("all are taken")
        return free[0]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def near(listener: socket.socket) -> Purpose:
    """Whose first port is taken."""
    return Purpose("gateway", listener.getsockname()[1])


async def choose(purpose: Purpose, *leased: str, port: int = 0, fixed: Sequence[str] = (), ours: bool = False) -> int:
    settings: dict[str, Any] = {"gateway_port": port, "fixed": fixed}
    return await choose_port(purpose, settings, cast("ShimClient", Shim(*leased)), ours=ours)


async def test_the_first_free_one(near: Purpose) -> None:
    assert await choose(near) > near.first


async def test_one_that_another_cluster_holds_is_left_alone(near: Purpose) -> None:
    assert await choose(near, f"lateen-gateway-{await choose(near)}") > near.first + 1


async def test_the_one_it_had_before_unless_somebody_took_it(near: Purpose) -> None:
    assert await choose(Purpose("gateway", 18080), port=near.first, ours=True) == near.first
    assert await choose(near, port=near.first) != near.first


async def test_what_was_asked_for_or_nothing(near: Purpose) -> None:
    with pytest.raises(InputError, match=f"port {near.first} of 127.0.0.1, wanted for --gateway-port, is taken"):
        await choose(near, port=near.first, fixed=["gateway_port"])
