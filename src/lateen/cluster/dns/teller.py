"""The daemon's side of ``control``, apart from it: the daemon needs nothing of what answers questions."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lateen.errors import TransportError


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
