"""The in-process transport: requests go straight to the API server's handler, with identity and admission, no sockets.

A caller may start a thousand requests at once. Only some of them are worked on at a time, and callers that share ``turns`` take
them in rotation: a turn of the event loop stays short, and others get their answers in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson

from lateen.aio.turns import Turns
from lateen.client.seam import Request, Response

Handler = Callable[[Request], Awaitable[Response]]
_IN_FLIGHT = 16


class InProcessTransport:
    """``handler`` is the API server's, already bound to one user (``ApiServer.handler_for``). ``flow`` names the caller."""

    def __init__(self, handler: Handler, *, turns: Turns | None = None, flow: str = "") -> None:
        self._handler, self._flow = handler, flow
        self._turns = turns or Turns(_IN_FLIGHT)

    async def send(self, request: Request) -> Response:
        async with self._turns.turn(self._flow):
            response = await self._handler(request)
        if response.object is None and response.raw is not None and response.content_type.startswith("application/json"):
            response.object = orjson.loads(response.raw)  # pages that the server keeps as bytes, as discovery does
        return response

    async def close(self) -> None:
        """Nothing to release."""
