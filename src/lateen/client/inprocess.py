"""The in-process transport: requests go straight to the API server's handler, with identity and admission, no sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson

from lateen.client.seam import Request, Response

Handler = Callable[[Request], Awaitable[Response]]


class InProcessTransport:
    """``handler`` is the API server's, already bound to one user (``ApiServer.handler_for``)."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def send(self, request: Request) -> Response:
        response = await self._handler(request)
        if response.object is None and response.raw is not None and response.content_type.startswith("application/json"):
            response.object = orjson.loads(response.raw)  # pages that the server keeps as bytes, as discovery does
        return response

    async def close(self) -> None:
        """Nothing to release."""
