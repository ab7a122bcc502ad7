"""The in-process transport: requests go straight to the API server's handler, with identity and admission, no sockets.

A caller may start a thousand requests at once. Only some of them are worked on at a time: a turn of the event loop stays short, and
others get their answers in between. (Over a socket, the connection pool does the same.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson

from lateen.client.seam import Request, Response

Handler = Callable[[Request], Awaitable[Response]]
_IN_FLIGHT = 16


class InProcessTransport:
    """``handler`` is the API server's, already bound to one user (``ApiServer.handler_for``)."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    async def send(self, request: Request) -> Response:
        async with self._slots:
            response = await self._handler(request)
        if response.object is None and response.raw is not None and response.content_type.startswith("application/json"):
            response.object = orjson.loads(response.raw)  # pages that the server keeps as bytes, as discovery does
        return response

    async def close(self) -> None:
        """Nothing to release."""
