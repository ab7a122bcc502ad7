"""The in-process transport: requests go straight to the API server's handler, with identity and admission, no sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lateen.client.seam import Request, Response

Handler = Callable[[Request], Awaitable[Response]]


class InProcessTransport:
    """``handler`` is the API server's, already bound to one user (``ApiServer.handler_for``)."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def send(self, request: Request) -> Response:
        return await self._handler(request)

    async def close(self) -> None:
        """Nothing to release."""
