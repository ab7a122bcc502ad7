"""A connection that was upgraded elsewhere and is carried byte by byte: both ends speak what they agreed on. Used by ``https``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from lateen.aio.tasks import TaskOwner
from lateen.cluster.api.streaming.seam import Connection

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Tunnel:
    """``headers`` are the other side's with its 101; the connection is the tunnel's to close."""

    headers: Mapping[str, str]
    connection: Connection


class _Feed:
    """What aiohttp's connection hands its bytes to from now on."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._writer.write(data)
        return False, b""

    def feed_eof(self) -> None:
        self._writer.close()


class Carried:
    """Nothing is left to answer. Stands in for aiohttp's response."""

    keep_alive, status = False, 101

    async def prepare(self, request: web.BaseRequest) -> None:
        """All was said."""

    async def write_eof(self) -> None:
        """And ended."""


async def serve_tunnel(raw: web.BaseRequest, tunnel: Tunnel) -> Carried:
    """Carry until one side ends."""
    reader, writer = tunnel.connection
    transport = raw.transport
    if transport is None:
        writer.close()
        return Carried()
    head = "".join(f"{name}: {value}\r\n" for name, value in tunnel.headers.items())
    transport.write(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode())
    raw.protocol.set_parser(_Feed(writer))  # type: ignore[arg-type] # feed_data and feed_eof are all that it calls
    async with TaskOwner("tunnel") as owner:
        await owner.start(_back(reader, writer, transport), "back")
    return Carried()


async def _back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transport: asyncio.WriteTransport) -> None:
    try:
        while (data := await reader.read(_CHUNK)) and not transport.is_closing():
            transport.write(data)
    except OSError:
        pass  # broken is ended
    finally:
        writer.close()
