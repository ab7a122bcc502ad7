"""The aggregated discovery service on a Unix socket: carries messages between sessions and proxies over grpc.

The server must be started only after the hub holds everything: a proxy that kept working while the daemon was away would
otherwise be told to forget what is not there yet.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from lateen.aio.tasks import gather
from lateen.traffic.xds.compile import GROUPS
from lateen.traffic.xds.hub import Connection, Hub

log = logging.getLogger(__name__)
_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0))


class XdsServer:
    """Serves one hub on one socket. The node id of a proxy is its group."""

    def __init__(self, hub: Hub, socket: Path) -> None:
        self._hub, self.socket = hub, socket
        self._server: Any = None
        self._said: dict[str, str] = {}  # refusals are repeated while they are offered again; the log has each once

    async def start(self) -> None:
        """Listen. A socket file left by a daemon that was killed is replaced."""
        self.socket.unlink(missing_ok=True)
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
        )
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"DeltaAggregatedResources": handler}),)
        )
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        """End every stream at once; proxies keep what they have and come back."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _stream(self, requests: Any, context: Any) -> None:
        first = await anext(aiter(requests), None)
        if first is None:
            return
        if first.node.id not in GROUPS:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"node id {first.node.id!r} is none of {', '.join(GROUPS)}")
        connection = self._hub.join(first.node.id)
        sender = _Sender(connection, context)
        try:
            self._hear(connection, first)
            await gather((self._read(requests, connection, sender), sender.run()))
        finally:
            self._hub.leave(connection)

    async def _read(self, requests: Any, connection: Connection, sender: _Sender) -> None:
        async for request in requests:
            self._hear(connection, request)
        sender.close()

    def _hear(self, connection: Connection, request: Any) -> None:
        if request.HasField("error_detail") and self._said.get(request.type_url) != request.error_detail.message:
            self._said[request.type_url] = request.error_detail.message
            log.warning("%s refused %s: %s", connection.group, request.type_url.rpartition(".")[2], request.error_detail.message)
        names = connection.session.hear(request)
        connection.wake.set()
        if names:
            self._hub.heard(connection, names)


class _Sender:
    """Sends what a session has to say, until the stream ends."""

    def __init__(self, connection: Connection, context: Any) -> None:
        self._connection, self._context, self._open = connection, context, True

    def close(self) -> None:
        self._open = False
        self._connection.wake.set()

    async def run(self) -> None:
        while self._open:
            self._connection.wake.clear()
            while (message := self._connection.session.next()) is not None:
                await self._context.write(message)
            if self._open:
                await self._connection.wake.wait()
