"""The WebSocket of an upgraded request, over aiohttp. Used by ``https``, which has authenticated and authorized it."""

from __future__ import annotations

from aiohttp import WSMsgType, web

from lateen.cluster.api.streaming.seam import Upgrade

_CLOSE_SECONDS = 2.0  # a client that does not answer the goodbye is not waited for longer


class _Socket:
    """See ``seam.Socket``."""

    def __init__(self, response: web.WebSocketResponse) -> None:
        self._response, self.protocol = response, response.ws_protocol or ""

    async def receive(self) -> bytes | None:
        while True:
            message = await self._response.receive()
            if message.type is WSMsgType.BINARY:
                return bytes(message.data)
            if message.type is WSMsgType.TEXT:
                return str(message.data).encode()
            if message.type not in (WSMsgType.PING, WSMsgType.PONG):
                return None

    async def send(self, data: bytes) -> None:
        try:
            if "base64" in self.protocol:
                await self._response.send_str(data.decode())
            else:
                await self._response.send_bytes(data)
        except ConnectionError:
            return  # the reading side sees the end


async def serve_upgrade(raw: web.BaseRequest, upgrade: Upgrade) -> web.WebSocketResponse:
    """Shake hands, serve, say goodbye."""
    response = web.WebSocketResponse(protocols=upgrade.protocols, compress=False, max_msg_size=0, timeout=_CLOSE_SECONDS)
    await response.prepare(raw)
    await upgrade.serve(_Socket(response))
    await response.close()
    return response
