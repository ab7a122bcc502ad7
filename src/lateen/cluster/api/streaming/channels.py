"""Kubernetes' remote command protocol: a container's streams as numbered channels of one WebSocket (v1, v4, v5; binary, base64).

Every message starts with its channel: 0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 the terminal's size. In v5 the message
``255, n`` closes channel n: a client says so when its stdin ends. Used by ``subresources.command``; knows nothing of nodes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator

import orjson

from lateen.aio.tasks import TaskOwner
from lateen.cluster.api.streaming.seam import End, Opener, Session, Socket
from lateen.errors import ApiError, LateenError
from lateen.kube.meta import Object

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "base64.channel.k8s.io", "channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_NUMBERS = {"stdout": STDOUT, "stderr": STDERR}


class Channels:
    """Messages of one socket as (channel, data)."""

    def __init__(self, socket: Socket) -> None:
        self._socket, self.protocol = socket, socket.protocol
        self._text = "base64" in socket.protocol

    async def receive(self) -> tuple[int, bytes] | None:
        """The next message; None at the end, and for what is no message of this protocol."""
        message = await self._socket.receive()
        if not message:
            return None
        if not self._text:
            return message[0], message[1:]
        try:
            return message[0] - ord("0"), base64.b64decode(message[1:])
        except binascii.Error:
            return None

    async def send(self, channel: int, data: bytes) -> None:
        """One message."""
        if self._text:
            await self._socket.send(b"%d" % channel + base64.b64encode(data))
        else:
            await self._socket.send(bytes((channel,)) + data)


async def serve_session(socket: Socket, opener: Opener) -> None:
    """Pump until the process has ended and all its output is sent, or the client has gone."""
    channels = Channels(socket)
    try:
        session = opener()
    except OSError as error:  # no descriptors left, or the container's log has just gone
        await channels.send(ERROR, orjson.dumps(_internal(f"error opening the container's streams: {error}")))
        return
    outputs = session.outputs()
    await channels.send(_NUMBERS[min(outputs, default="stdout", key=lambda n: _NUMBERS[n])] if outputs else ERROR, b"")
    try:
        async with TaskOwner("stream") as work:
            pumps = [work.start(_pump(channels, _NUMBERS[name], chunks), name) for name, chunks in outputs.items()]
            client = work.start(_listen(channels, session), "client")
            end = work.start(_finish(channels, session, pumps), "end")
            await asyncio.wait((client, end), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await session.close()


async def _pump(channels: Channels, number: int, chunks: AsyncGenerator[bytes, None]) -> None:
    try:
        async for chunk in chunks:
            await channels.send(number, chunk)
    finally:
        await chunks.aclose()


async def _listen(channels: Channels, session: Session) -> None:
    """What the client says, until it has gone."""
    while (message := await channels.receive()) is not None:
        channel, data = message
        if channel == STDIN:
            await session.write(data)
        elif channel == RESIZE:
            await _resize(session, data)
        elif channel == CLOSE and data == bytes((STDIN,)):
            await session.end_input()


async def _resize(session: Session, data: bytes) -> None:
    try:
        size = orjson.loads(data)
        await session.resize(int(size["Width"]) & 0xFFFF, int(size["Height"]) & 0xFFFF)
    except (ValueError, KeyError, TypeError):
        return  # not a size: the terminal stays as it is


async def _finish(channels: Channels, session: Session, pumps: list[asyncio.Task[None]]) -> None:
    try:
        status = ended(await session.wait())
    except ApiError as error:
        status = error.status
    except LateenError as error:
        status = _internal(f"error executing command in container: {error}")
    if pumps:
        await asyncio.wait(pumps)
    if "v4" in channels.protocol or "v5" in channels.protocol:
        await channels.send(ERROR, orjson.dumps(status))
    elif status["status"] != "Success":
        await channels.send(ERROR, str(status["message"]).encode())


def ended(end: End) -> Object:
    """The Status of a command's end, as the kubelet words it."""
    if end.problem:
        return _internal(f"error executing command in container: failed to exec in container: {end.problem}")
    if end.exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    message = f"command terminated with non-zero exit code: exit status {end.exit_code}"
    causes = [{"reason": "ExitCode", "message": str(end.exit_code)}]
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode", "details": {"causes": causes}}


def _internal(message: str) -> Object:
    text = f"Internal error occurred: {message}"
    return {"metadata": {}, "status": "Failure", "message": text, "reason": "InternalError", "code": 500} | {
        "details": {"causes": [{"message": message}]}
    }
