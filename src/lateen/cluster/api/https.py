"""The server's socket: HTTP/1.1 over TLS. Bytes in, a seam Request to ``ApiServer.handle``, bytes out.

aiohttp parses and keeps connections alive; answers are written by Reply in one piece, because on the reads that a cluster lives
on, building a general response object costs more than the answer itself. Who asks is decided here (client certificate, bearer
token, impersonation); what they may do is decided in ``server``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from lateen.client.seam import Request
from lateen.cluster.api import statuses
from lateen.cluster.api.auth.authenticator import Authenticator
from lateen.cluster.api.call import Answer
from lateen.cluster.api.server import ApiServer, failure
from lateen.cluster.api.streaming.tunnels import serve_tunnel
from lateen.cluster.api.streaming.websocket import serve_upgrade
from lateen.cluster.api.user import UserInfo
from lateen.errors import ApiError, UnauthorizedError

log = logging.getLogger(__name__)

BODY_LIMIT = 3 << 20  # as the real server
_GZIP_FROM = 128 << 10
_DRAIN_FROM = 64 << 10
_REASONS = {s.value: s.phrase for s in HTTPStatus}
_HEADS: dict[tuple[int, str], bytes] = {}
ANONYMOUS = UserInfo(name="system:anonymous", groups=("system:unauthenticated",))


class Reply:
    """A whole answer, written at once. Stands in for aiohttp's response: only what its protocol calls is here."""

    __slots__ = ("_head", "_parts", "_request", "_size", "keep_alive", "status")

    def __init__(self, status: int, content_type: str, parts: tuple[bytes, ...], size: int, headers: Mapping[str, str]) -> None:
        self.status, self._parts, self._size, self.keep_alive = status, parts, size, True
        self._head = _head(status, content_type, headers)

    async def prepare(self, request: web.BaseRequest) -> None:
        self._request, self.keep_alive = request, bool(request.keep_alive)

    async def write_eof(self) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client went away")
        tail = b"\r\n\r\n" if self.keep_alive else b"\r\nConnection: close\r\n\r\n"
        head = self._head + str(self._size).encode() + tail
        if self._request.method == "HEAD":
            transport.write(head)
        elif self._size <= _DRAIN_FROM:
            transport.write(head + b"".join(self._parts))
        else:
            transport.writelines((head + self._parts[0], *self._parts[1:]))  # large pieces are not copied
            await self._request._payload_writer.drain()


def _head(status: int, content_type: str, headers: Mapping[str, str]) -> bytes:
    key = (status, content_type)
    head = _HEADS.get(key)
    if head is None:
        line = (
            f"HTTP/1.1 {status} {_REASONS.get(status, '')}\r\nContent-Type: {content_type}\r\nCache-Control: no-cache, private\r\n"
        )
        head = line.encode()
        if len(_HEADS) < 256:
            _HEADS[key] = head
    extra = b"".join([f"{k}: {v}\r\n".encode() for k, v in headers.items()]) if headers else b""
    return head + extra + b"Content-Length: "


class _Server(web.Server):
    """aiohttp's connections, with the verified client certificate (DER) of each that has one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.certificates: dict[Any, bytes] = {}

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        tls = transport.get_extra_info("ssl_object")
        found = tls.getpeercert(binary_form=True) if tls is not None else None
        if found:
            self.certificates[handler] = found
        super().connection_made(handler, transport)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        self.certificates.pop(handler, None)
        super().connection_lost(handler, exc)


class HttpsServer:
    """Serves one ApiServer on one address."""

    def __init__(self, api: ApiServer, *, authenticator: Authenticator | None, tls: ssl.SSLContext | None) -> None:
        self._api, self._authenticator, self._tls = api, authenticator, tls
        api.authenticator = authenticator
        self._server: _Server | None = None
        self._listener: asyncio.Server | None = None
        self._door: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port (a free one when ``port`` is 0). OSError when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = _Server(
            self._handle, handler_cancellation=True, access_log=None, keepalive_timeout=3630.0, max_field_size=65536
        )
        self._listener = await loop.create_server(self._server, host, port, ssl=self._tls, backlog=512, reuse_address=True)
        return int(self._listener.sockets[0].getsockname()[1])

    async def listen_at(self, path: str) -> None:
        """Listen on a Unix socket too, with the same TLS. After ``start``."""
        assert self._server is not None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - a local socket file, left by a daemon that was killed
        self._door = await asyncio.get_running_loop().create_unix_server(self._server, path, ssl=self._tls, backlog=512)

    async def close(self, seconds: float = 2.0) -> None:
        """Stop listening, let requests finish for ``seconds``, end streams. Idempotent."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        self._api.backend.streams.close()
        self._server.pre_shutdown()
        await self._server.shutdown(seconds)
        self._listener = None

    async def _handle(self, raw: web.BaseRequest) -> Any:
        try:
            user = self._user(raw)
            request = await self._request(raw)
        except UnauthorizedError:
            answer = failure(UnauthorizedError("Unauthorized"))  # why is told to nobody
        except ApiError as error:
            answer = failure(error)
        else:
            answer = await self._api.handle(request, user)
        if answer.upgrade is not None:
            return await serve_upgrade(raw, answer.upgrade)
        if answer.tunnel is not None:
            return await serve_tunnel(raw, answer.tunnel)
        if answer.watch is not None:
            return await _stream(raw, answer, answer.watch.chunks())
        if answer.stream is not None:
            return await _stream(raw, answer, answer.stream)
        return await _reply(raw, answer)

    async def _request(self, raw: web.BaseRequest) -> Request:
        path, _, query = raw.raw_path.partition("?")
        headers = raw.headers
        return Request(
            method="GET" if raw.method == "HEAD" else raw.method,
            path=unquote(path) if "%" in path else path,
            query=_query(query) if query else {},
            body=await _body(raw) if raw.body_exists else None,
            content_type=headers.get("Content-Type", "application/json"),
            accept=headers.get("Accept", "application/json"),
            user_agent=headers.get("User-Agent", ""),
            headers=headers,
        )

    def _user(self, raw: web.BaseRequest) -> UserInfo:
        """The authenticated user, or the one it impersonates. UnauthorizedError."""
        scheme, _, token = raw.headers.get("Authorization", "").partition(" ")
        user: UserInfo | None = None
        if self._authenticator is not None and self._server is not None:
            bearer = token.strip() if scheme.lower() == "bearer" else ""
            user = self._authenticator.authenticate(token=bearer, certificate=self._server.certificates.get(raw.protocol))
        user = user or ANONYMOUS
        if "Impersonate-User" in raw.headers:
            return self._api.impersonate(user, raw.headers, raw.headers.getall("Impersonate-Group", []))
        if any(name.startswith("Impersonate-") for name in raw.headers if name[:1] in "Ii"):
            raise statuses.internal("requested impersonation without impersonating a user")
        return user


def _query(text: str) -> dict[str, str | tuple[str, ...]]:
    found: dict[str, str | tuple[str, ...]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        before = found.get(name)
        if before is None:
            found[name] = value
        else:
            found[name] = (*((before,) if isinstance(before, str) else before), value)
    return found


async def _body(raw: web.BaseRequest) -> bytes:
    """The request's body. 413 beyond BODY_LIMIT."""
    parts, size = [], 0
    if (raw.content_length or 0) <= BODY_LIMIT:
        async for part in raw.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > BODY_LIMIT:
                break
        else:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise statuses.entity_too_large(BODY_LIMIT)


async def _reply(raw: web.BaseRequest, answer: Answer) -> Reply:
    parts, headers = answer.parts(), answer.headers
    size = sum(map(len, parts))
    if size >= _GZIP_FROM and "gzip" in raw.headers.get("Accept-Encoding", ""):
        parts = (await asyncio.to_thread(gzip.compress, b"".join(parts), 1),)
        size, headers = len(parts[0]), {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Reply(answer.status, answer.content_type, parts, size, headers)


class _Stream(web.StreamResponse):
    """A chunked answer without Date and Server."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self._headers.popall("Date", None)
        self._headers.popall("Server", None)


async def _stream(raw: web.BaseRequest, answer: Answer, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    response = _Stream(
        status=answer.status, headers={"Content-Type": answer.content_type, "Cache-Control": "no-cache, private", **answer.headers}
    )
    response.enable_chunked_encoding()
    await response.prepare(raw)
    response._send_headers_immediately = True
    try:
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
    except (OSError, ValueError, EOFError):
        # The client went away, or what we carry for it broke off: then our answer must not look whole.
        if raw.transport is not None:
            raw.transport.abort()
    finally:
        await chunks.aclose()  # type: ignore[attr-defined] # they are async generators
    return response
