"""Port-forward in numbered channels (v4.channel.k8s.io), as the Python client does it: ports are named in the query.

Port i has channel 2i for data and 2i+1 for error text; the first message on each is the port's number, two bytes, little-endian.
There is one connection per port and no half-close: everything ends with the WebSocket. Used by ``subresources.portforward``.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

from lateen.aio.tasks import TaskOwner
from lateen.cluster.api.streaming.carry import Incoming, carry
from lateen.cluster.api.streaming.channels import Channels
from lateen.cluster.api.streaming.seam import Dial, Socket

PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")


async def serve_ports(socket: Socket, dial: Dial, ports: Sequence[int]) -> None:
    """Until every connection has ended, or the client has gone."""
    channels, incoming = Channels(socket), [Incoming() for _ in ports]
    for number, port in enumerate(ports):
        for channel in (2 * number, 2 * number + 1):
            await channels.send(channel, struct.pack("<H", port))
    async with TaskOwner("port-forward") as work:
        carried = [work.start(_port(channels, dial, i, port, incoming[i]), f"port {port}") for i, port in enumerate(ports)]
        client = work.start(_listen(channels, incoming), "client")
        ended = work.start(_all(carried), "end")
        await asyncio.wait((client, ended), return_when=asyncio.FIRST_COMPLETED)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _listen(channels: Channels, incoming: Sequence[Incoming]) -> None:
    while (message := await channels.receive()) is not None:
        channel, data = message
        if channel % 2 == 0 and channel // 2 < len(incoming) and data:
            await incoming[channel // 2].put(data)


async def _port(channels: Channels, dial: Dial, number: int, port: int, incoming: Incoming) -> None:
    async def send(data: bytes) -> None:
        await channels.send(2 * number, data)

    if problem := await carry(dial, port, incoming, send):
        await channels.send(2 * number + 1, f"error forwarding port {port}: {problem}".encode())
