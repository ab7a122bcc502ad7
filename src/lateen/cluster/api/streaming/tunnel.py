"""Port-forward as kubectl does it: SPDY streams inside one WebSocket, two for each connection (data, and error text).

The client opens the error stream first; both carry the same ``requestID``. A connection that cannot be made is explained on
the error stream. Used by ``subresources.portforward``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lateen.aio.tasks import TaskOwner
from lateen.cluster.api.streaming.carry import Incoming, carry
from lateen.cluster.api.streaming.seam import Dial, Socket
from lateen.cluster.api.streaming.spdy import Data, Frame, Framer, GoAway, Opened, Ping, Reset

PROTOCOL = "SPDY/3.1+portforward.k8s.io"


@dataclass(slots=True)
class _Connection:
    """One request: its streams as they come."""

    port: int
    error: int = 0
    data: int = 0
    incoming: Incoming = field(default_factory=Incoming)


class Tunnel:
    """One client. ``explain`` words an error for a port."""

    def __init__(self, socket: Socket, dial: Dial, pod: str) -> None:
        self._socket, self._dial, self._pod = socket, dial, pod
        self._framer = Framer()
        self._by_request: dict[str, _Connection] = {}
        self._by_stream: dict[int, _Connection] = {}

    async def serve(self) -> None:
        """Until the client has gone, or does not speak SPDY."""
        async with TaskOwner("port-forward") as work:
            while (message := await self._socket.receive()) is not None:
                try:
                    frames = list(self._framer.feed(message))
                except ValueError:
                    return
                for frame in frames:
                    if isinstance(frame, GoAway):
                        return
                    await self._take(frame, work)

    async def _take(self, frame: Frame, work: TaskOwner) -> None:
        if isinstance(frame, Opened):
            await self._open(frame, work)
        elif isinstance(frame, Ping):
            await self._socket.send(self._framer.ping(frame.number))
        elif isinstance(frame, Data | Reset):
            connection = self._by_stream.get(frame.stream)
            if connection is None or frame.stream != connection.data:
                return  # nobody writes to the error stream but us
            if isinstance(frame, Data) and frame.data:
                await connection.incoming.put(frame.data)
            if isinstance(frame, Reset) or frame.last:
                await connection.incoming.put(None)

    async def _open(self, frame: Opened, work: TaskOwner) -> None:
        kind, port = frame.headers.get("streamtype"), frame.headers.get("port", "")
        if kind not in ("error", "data") or not port.isdigit() or not 0 < int(port) < 65536:
            await self._socket.send(self._framer.reset(frame.stream))
            return
        await self._socket.send(self._framer.reply(frame.stream))
        request = frame.headers.get("requestid", str(frame.stream - (2 if kind == "data" else 0)))
        connection = self._by_request.setdefault(request, _Connection(int(port)))
        self._by_stream[frame.stream] = connection
        if kind == "error":
            connection.error = frame.stream
        else:
            connection.data = frame.stream
        if connection.error and connection.data:
            work.start(self._carry(request, connection), f"connection {request}")

    async def _carry(self, request: str, connection: _Connection) -> None:
        async def send(data: bytes) -> None:
            await self._socket.send(self._framer.data(connection.data, data))

        problem = await carry(self._dial, connection.port, connection.incoming, send)
        if problem:
            text = f"error forwarding port {connection.port} to pod {self._pod}: {problem}"
            await self._socket.send(self._framer.data(connection.error, text.encode()))
        for stream in (connection.error, connection.data):
            await self._socket.send(self._framer.data(stream, b"", last=True))
            self._by_stream.pop(stream, None)
        self._by_request.pop(request, None)
