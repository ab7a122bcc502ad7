"""How the DNS server hears from the daemon what there is: lines of JSON over a Unix socket, sockets to listen on beside the first.

The daemon's side is ``teller``. Messages: ``{"listen": place}`` with two sockets,
UDP and TCP; ``{"replace": [entries], "namespaces": [...]}``; ``{"put": [entries], "remove": [[namespace, name]]}``. Each is
answered with ``{"place": place}``: where it listens, as the daemon called it, '' for nowhere yet.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lateen.cluster.dns.data import entry
from lateen.cluster.dns.server import DnsServer
from lateen.cluster.dns.zone import Zone
from lateen.kube.meta import Key

_MOST = 1 << 20
_SOCKETS = 2


class Control:
    """Takes one daemon's word at a time; a new one follows an old one."""

    def __init__(self, path: Path, zone: Zone, server: DnsServer, now: Callable[[], int]) -> None:
        self._zone, self._server, self._now = zone, server, now
        self._place = ""
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(4)
        self._listener.setblocking(False)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        with self._listener:
            while True:
                connection, _ = await loop.sock_accept(self._listener)
                connection.setblocking(False)
                with connection:
                    try:
                        await self._serve(connection)
                    except OSError:
                        continue

    async def _serve(self, connection: socket.socket) -> None:
        loop, left, sockets = asyncio.get_running_loop(), b"", list[socket.socket]()
        while True:
            data, handles = await _receive(connection)
            sockets += [socket.socket(fileno=h) for h in handles]
            if not data:
                for unused in sockets:
                    unused.close()
                return
            *lines, left = (left + data).split(b"\n")
            for line in lines:
                await self._take(json.loads(line), sockets)
                await loop.sock_sendall(connection, json.dumps({"place": self._place}).encode() + b"\n")

    async def _take(self, message: Mapping[str, Any], sockets: list[socket.socket]) -> None:
        if "listen" in message and len(sockets) == _SOCKETS:
            await self._server.listen(sockets.pop(0), sockets.pop(0))
            self._place = message["listen"]
        if "server" in message:
            self._zone.server = message["server"]
            self._zone.own = tuple(map(IPv4Network, message["own"]))
        if "replace" in message:
            self._zone.replace(map(entry, message["replace"]))
        if "namespaces" in message:
            self._zone.set_namespaces(message["namespaces"])
        for wire in message.get("put") or ():
            self._zone.put(entry(wire))
        for key in message.get("remove") or ():
            self._zone.remove(Key(*key))
        self._zone.serial = self._now()
        self._server.changed()


async def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Some bytes with the sockets that came with them."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            data, handles, _, _ = socket.recv_fds(connection, _MOST, _SOCKETS)
            return data, handles
        except BlockingIOError:
            readable = loop.create_future()
            loop.add_reader(connection, _wake, readable)
            try:
                await readable
            finally:
                loop.remove_reader(connection)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
