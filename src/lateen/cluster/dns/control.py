"""How the daemon tells the DNS server what there is: lines of JSON over a Unix socket, sockets to listen on beside the first.

Both sides of it: ``Control`` in the server's process, ``Teller`` in the daemon. Messages: ``{"listen": place}`` with two sockets,
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
from lateen.errors import TransportError
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


class Teller:
    """The daemon's side. TransportError when the server is not there, or went away."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._left = connection, b""

    @classmethod
    async def connect(cls, path: Path) -> Teller:
        """To the server behind ``path``."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, str(path))
        except OSError as error:
            connection.close()
            raise TransportError(f"the DNS server does not answer: {error.strerror}") from error
        return cls(connection)

    async def tell(self, message: Mapping[str, Any], sockets: tuple[socket.socket, ...] = ()) -> str:
        """Say it and wait until it is in effect; where the server listens."""
        loop, data = asyncio.get_running_loop(), json.dumps(message).encode() + b"\n"
        try:
            if sockets:  # so short that it goes as a whole
                sent = socket.send_fds(self._connection, [data], [s.fileno() for s in sockets])
                data = data[sent:]
            await loop.sock_sendall(self._connection, data)
            while b"\n" not in self._left:
                more = await loop.sock_recv(self._connection, 1 << 16)
                if not more:
                    raise TransportError("the DNS server went away")
                self._left += more
        except OSError as error:
            raise TransportError(f"the DNS server went away: {error.strerror}") from error
        line, _, self._left = self._left.partition(b"\n")
        return str(json.loads(line)["place"])

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()
