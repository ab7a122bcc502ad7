"""Requests to group versions of extension API servers: sent on, streamed back, upgraded where the other side does. Used by
``server``, which has authorized them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import orjson

from lateen.aio.tasks import within
from lateen.aio.turns import set_down
from lateen.client.seam import Request, Response, WatchEvent
from lateen.cluster.api import statuses
from lateen.cluster.api.aggregation.ask import ask_of, connected
from lateen.cluster.api.aggregation.services import Remote
from lateen.cluster.api.call import Answer, Backend
from lateen.cluster.api.streaming.http import Exchange, exchange
from lateen.cluster.api.streaming.seam import Connection
from lateen.cluster.api.streaming.tunnels import Tunnel
from lateen.cluster.api.user import UserInfo
from lateen.errors import LateenError, TransportError

_PLAIN = "text/plain; charset=utf-8"
_ANSWER_WITHIN = 60.0  # seconds, until its head is here


async def forward(backend: Backend, request: Request, user: UserInfo, remote: Remote) -> Answer:
    """What the extension API server answers. 503 when it is not available."""
    if not remote.available:
        return Answer(status=503, raw=b"service unavailable\n", content_type=_PLAIN)
    try:
        async with set_down():
            connection, found = await within(_ANSWER_WITHIN, _exchange(backend, request, user, remote))
    except TimeoutError as error:
        raise statuses.unavailable(f"error trying to reach service: no answer in {_ANSWER_WITHIN:g} s") from error
    except (OSError, ValueError, EOFError, LateenError) as error:
        raise statuses.unavailable(f"error trying to reach service: {error}") from error
    if found.status == 101:
        return Answer(status=101, headers=found.headers, tunnel=Tunnel(found.headers, connection))
    headers = dict(found.headers)
    kind = headers.pop("content-type", "application/octet-stream")
    return Answer(status=found.status, stream=found.body, content_type=kind, headers=headers, proxied=True)


async def _exchange(backend: Backend, request: Request, user: UserInfo, remote: Remote) -> tuple[Connection, Exchange]:
    reader, writer = await connected(backend, remote)
    try:
        return (reader, writer), await exchange(reader, writer, ask_of(request, user, remote))
    except BaseException:  # whatever ends it, the connection is ours
        writer.close()
        raise


async def taken_in(request: Request, answer: Answer) -> Response:
    """A proxied answer for a caller in this process: objects instead of bytes. TransportError when it breaks off."""
    assert answer.stream is not None
    if answer.status < 400 and request.query.get("watch") in ("true", "1"):
        return Response(status=answer.status, events=_events(answer.stream))
    try:
        async with set_down():
            raw = b"".join([part async for part in answer.stream])
    except (OSError, ValueError, EOFError) as error:
        raise TransportError(f"the answer to {request.path} broke off: {error}") from error
    if not answer.content_type.startswith("application/json"):
        return Response(status=answer.status, raw=raw, content_type=answer.content_type, headers=answer.headers)
    try:
        return Response(status=answer.status, object=orjson.loads(raw), headers=answer.headers)
    except orjson.JSONDecodeError as error:
        raise TransportError(f"the answer to {request.path} is no JSON: {error}") from error


async def _events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[WatchEvent, None]:
    rest = b""
    try:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, lines):
                event = orjson.loads(line)
                yield WatchEvent(event["type"], event["object"])
    except (OSError, ValueError, EOFError) as error:
        raise TransportError(f"the watch broke off: {error}") from error
    finally:
        await chunks.aclose()  # type: ignore[attr-defined] # it is an async generator
