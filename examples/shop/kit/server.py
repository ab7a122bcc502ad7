"""An HTTP/1.1 server: routes are coroutines from Request to a JSON value, or to a Reply."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import h11

Handler = Callable[["Request"], Awaitable[Any]]


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    args: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refused(400, f"the body is not JSON: {error}") from error


@dataclass
class Reply:
    status: int
    body: Any
    content_type: str = "application/json"


class Refused(Exception):
    """Answers with a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Service:
    """One service. ``@service.route("GET", "/things/{name}")`` adds a route; ``service.run()`` serves until SIGTERM."""

    def __init__(self, name: str, version: str = "1") -> None:
        self.name, self.version = name, version
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()
        self.route("GET", "/healthz")(self._health)

    def route(self, method: str, pattern: str) -> Callable[[Handler], Handler]:
        expression = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern))

        def add(handler: Handler) -> Handler:
            self._routes.append((method, expression, handler))
            return handler

        return add

    async def _health(self, request: Request) -> Any:
        return {"service": self.name, "version": self.version, "status": "ok"}

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        host, port = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))
        server = await asyncio.start_server(self._accept, host, port, backlog=1024)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave)
        loop.add_signal_handler(signal.SIGINT, self._leave)
        print(f"{self.name} {self.version} listens on {host}:{port}", flush=True)
        await self._leaving.wait()
        server.close()
        for connection in self._connections - self._busy:
            connection.cancel()
        if self._busy:
            await asyncio.wait(self._busy, timeout=20)
        print(f"{self.name} leaves", flush=True)

    def _leave(self) -> None:
        if os.environ.get("ABRUPT"):
            os._exit(1)
        self._leaving.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._converse(h11.Connection(h11.SERVER), reader, writer, task)
        except (ConnectionError, asyncio.IncompleteReadError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            self._busy.discard(task)
            writer.close()

    async def _converse(self, http: Any, reader: Any, writer: Any, task: Any) -> None:
        while True:
            request = await self._read(http, reader, task)
            if request is None:
                return
            reply = await self._answer(request)
            raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            headers = [("content-type", reply.content_type), ("content-length", str(len(raw)))]
            if self._leaving.is_set():
                headers.append(("connection", "close"))
            data = http.send(h11.Response(status_code=reply.status, headers=headers))
            writer.write(data + (http.send(h11.Data(data=raw)) or b"") + (http.send(h11.EndOfMessage()) or b""))
            await writer.drain()
            self._busy.discard(task)
            if http.our_state is h11.MUST_CLOSE or self._leaving.is_set():
                return
            http.start_next_cycle()

    async def _read(self, http: Any, reader: Any, task: Any) -> Request | None:
        head, body = None, b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                self._busy.add(task)
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                path, _, query = head.target.decode().partition("?")
                headers = {k.decode(): v.decode() for k, v in head.headers}
                return Request(head.method.decode(), path, query, headers, body)
            else:
                return None

    async def _answer(self, request: Request) -> Reply:
        try:
            for method, expression, handler in self._routes:
                if method == request.method and (found := expression.fullmatch(request.path)):
                    request.args = found.groupdict()
                    result = await handler(request)
                    return result if isinstance(result, Reply) else Reply(200, result)
            return Reply(404, {"error": f"{self.name} knows no {request.method} {request.path}"})
        except Refused as refused:
            return Reply(refused.status, {"error": refused.reason})
        except Exception as error:
            print(f"{self.name}: {request.method} {request.path}: {error!r}", file=sys.stderr, flush=True)
            return Reply(500, {"error": f"{self.name} failed: {error}"})
