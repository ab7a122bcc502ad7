"""One forwarded connection: bytes from a client's stream to a port of a pod, and back. Used by both port-forward protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lateen.aio.tasks import TaskOwner, within
from lateen.cluster.api.streaming.seam import Dial
from lateen.errors import LateenError

_DIAL_SECONDS = 30.0
_CHUNK = 1 << 16
_WAITING = 16  # messages of one client that wait for a slow pod before the whole tunnel does


class Incoming:
    """What a client sent to one connection, in order; None when it sends no more."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)

    async def put(self, data: bytes | None) -> None:
        """Waits while the pod is slow."""
        await self._queue.put(data)

    async def get(self) -> bytes | None:
        """The next bytes."""
        return await self._queue.get()


async def carry(dial: Dial, port: int, incoming: Incoming, send: Callable[[bytes], Awaitable[None]]) -> str:
    """Until the pod's side has closed. What went wrong, '' if nothing did."""
    try:
        reader, writer = await within(_DIAL_SECONDS, dial(port))
    except (OSError, LateenError, TimeoutError) as error:
        return str(error) or type(error).__name__
    try:
        async with TaskOwner(f"port {port}") as work:
            work.start(_upward(incoming, writer), "upward")
            while data := await reader.read(_CHUNK):
                await send(data)
    except ConnectionError as error:
        return str(error)
    finally:
        writer.close()
    return ""


async def _upward(incoming: Incoming, writer: asyncio.StreamWriter) -> None:
    try:
        while (data := await incoming.get()) is not None:
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        while await incoming.get() is not None:  # the pod closed: the reading side sees it, the tunnel must not be held up
            pass
