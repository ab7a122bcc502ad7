"""The HTTP transport: any Kubernetes API server over HTTPS, as one user. Used by the CLI and by whatever runs outside the daemon.

Connections are kept alive and shared. A watch is read as a line stream that may be cut anywhere; a broken one raises
TransportError from its iterator, and the informer resumes it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson

from lateen.aio.threads import run_blocking
from lateen.client.kubeconfig import Cluster
from lateen.client.seam import Request, Response, WatchEvent
from lateen.errors import InputError, TransportError

_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=None)


class HttpTransport:
    """Speaks to the server of ``cluster``. Opens its session on first use; ``close`` ends it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._session: aiohttp.ClientSession | None = None
        self._login = asyncio.Lock()

    async def send(self, request: Request) -> Response:
        await self._logged_in()
        before = self._cluster.token
        response = await self._send(request)
        if response.status == 401 and self._cluster.exec_plugin:
            self._cluster.logged_in = self._cluster.token != before  # another request may have logged in meanwhile
            await self._logged_in()
            response = await self._send(request)
        return response

    async def _logged_in(self) -> None:
        """Credentials are there, once for all requests that wait for them."""
        async with self._login:
            if not self._cluster.logged_in:
                await run_blocking(self._cluster.login)

    async def _send(self, request: Request) -> Response:
        streaming = request.query.get("watch") in ("true", "1") or request.query.get("follow") in ("true", "1")
        try:
            answer = await self._open().request(
                request.method,
                self._cluster.server + request.path,
                params=_params(request.query),
                data=_body(request),
                headers=self._headers(request),
                timeout=_STREAM if streaming else _TIMEOUT,
                server_hostname=self._cluster.tls_server_name or None,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"cannot reach {self._cluster.server}: {_reason(error)}") from error
        if streaming and answer.status < 400:
            return self._streamed(request, answer)
        try:
            raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"the answer of {self._cluster.server} broke off: {_reason(error)}") from error
        kind = answer.content_type
        decoded = _decoded(raw) if raw and kind.endswith("json") else None
        return Response(
            status=answer.status,
            object=decoded,
            raw=None if decoded is not None else raw,
            content_type=kind,
            headers=dict(answer.headers),
        )

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _streamed(self, request: Request, answer: aiohttp.ClientResponse) -> Response:
        if request.query.get("watch"):
            return Response(status=answer.status, events=_events(answer))
        return Response(status=answer.status, content_type=answer.content_type, stream=_chunks(answer))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=tls_context(self._cluster), limit=0, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        return self._session

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": request.accept, "User-Agent": request.user_agent}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        token = self._cluster.bearer_token()
        return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def tls_context(cluster: Cluster) -> ssl.SSLContext | bool:
    """The TLS settings of a cluster: its CA, its client certificate, or no verification where the user said so."""
    if not cluster.server.startswith("https"):
        return True
    context = ssl.create_default_context(cadata=cluster.ca_data or None)
    if cluster.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # Python 3.13 checks what older certificate authorities leave out; Kubernetes' own clients do not.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if cluster.certificate_file and cluster.key_file:
        try:
            context.load_cert_chain(cluster.certificate_file, cluster.key_file)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"the client certificate {cluster.certificate_file} cannot be used: {error}") from error
    return context


def _params(query: Mapping[str, str | tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(k, one) for k, v in query.items() for one in (v if isinstance(v, tuple) else (v,))]


def _decoded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise TransportError(f"the answer is not JSON ({error}): {raw[:100]!r}") from error


def _body(request: Request) -> bytes | None:
    if request.body is None or isinstance(request.body, bytes):
        return request.body
    return orjson.dumps(request.body)


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[WatchEvent]:
    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line:
                    event: Any = _decoded(line)
                    yield WatchEvent(event["type"], event["object"])
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransportError(f"the watch broke off: {_reason(error)}") from error
    finally:
        answer.close()


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransportError(f"the stream broke off: {_reason(error)}") from error
    finally:
        answer.close()


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
