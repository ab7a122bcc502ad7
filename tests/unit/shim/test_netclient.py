"""The keeper of a cluster's network counts once it answers: before that it is not in there yet."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lateen.aio.clock import SystemClock
from lateen.errors import TransportError
from lateen.shim.client import Process, ShimClient, Spawn
from lateen.shim.netclient import ID, NetworkClient


class Shim:
    """Whose keeper is started at once, and answers when ``opens`` is called."""

    def __init__(self, path: Path) -> None:
        self.path, self.known = path, dict[str, Process]()
        self.spawned = asyncio.Event()

    async def connect(self) -> None:
        return

    def processes(self) -> Mapping[str, Process]:
        return self.known

    async def spawn(self, spawn: Spawn) -> Process:
        self.known[ID] = Process(id=ID, pid=os.getpid(), started_at="", finished_at="", exit_code=None)
        self.spawned.set()
        return self.known[ID]

    def opens(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen()
        listener.setblocking(False)
        return listener


async def answer(wire: socket.socket) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    asked: dict[str, Any] = json.loads(await loop.sock_recv(wire, 1 << 16))
    await loop.sock_sendall(wire, b'{"result": null}')
    return asked


async def test_nobody_enters_a_keeper_that_has_not_said_that_it_is_inside(tmp_path: Path) -> None:
    shim = Shim(tmp_path / "keeper.sock")
    client = NetworkClient(cast("ShimClient", shim), folder=tmp_path, socket=shim.path, clock=SystemClock())
    setting = asyncio.ensure_future(client.set_up(gateway="10.0.0.1"))
    await shim.spawned.wait()
    with pytest.raises(TransportError):
        _ = client.pid
    with shim.opens() as listener:
        wire, _ = await asyncio.get_running_loop().sock_accept(listener)
        with wire:
            with pytest.raises(TransportError):
                _ = client.pid
            assert await answer(wire) == {"do": "setup", "gateway": "10.0.0.1"}
            await setting
            assert client.pid == os.getpid()
            client.close()
            with pytest.raises(TransportError):
                _ = client.pid
