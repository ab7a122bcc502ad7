"""A plain HTTP/1.1 exchange over a connection that somebody else made: for the proxy subresources, whose targets the nodes dial."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

_CHUNK = 1 << 16
# Of one connection only (RFC 9110, 7.6.1), or ours to say.
_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade")
)
_OURS = _HOP | frozenset(("host", "content-length", "authorization", "cookie", "accept-encoding"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An answer: its head, and its body as it comes. The body must be exhausted or closed."""

    status: int
    headers: Mapping[str, str]
    body: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request. ``target`` is path and query; hop-by-hop headers and credentials do not travel. ``more`` are headers of our own,
    which may repeat; ``upgrade`` asks for that protocol."""

    method: str
    target: str
    host: str
    headers: Mapping[str, str]
    body: bytes = b""
    more: Sequence[tuple[str, str]] = ()
    upgrade: str = ""


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ask: Ask) -> Exchange:
    """Send and read the head. ValueError for what is not HTTP, OSError when the connection breaks. After a 101, which only
    ``upgrade`` can bring, the connection is the caller's and the body is not read."""
    writer.write(_head(ask) + ask.body)
    await writer.drain()
    while True:
        status, headers = await _answer(reader)
        if status >= 200 or (status == 101 and ask.upgrade):
            break
    kept = headers if status == 101 else {k: v for k, v in headers.items() if k not in _HOP and k != "content-length"}
    return Exchange(status=status, headers=kept, body=_body(reader, writer, ask.method, status, headers))


def _head(ask: Ask) -> bytes:
    headers = {k: v for k, v in ask.headers.items() if k.lower() not in _OURS}
    headers |= {"Host": ask.host, "Connection": "Upgrade" if ask.upgrade else "close"}
    if ask.upgrade:
        headers["Upgrade"] = ask.upgrade
    if ask.body or ask.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(ask.body))
    lines = [f"{ask.method} {ask.target} HTTP/1.1", *(f"{k}: {v}" for k, v in (*headers.items(), *ask.more))]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    version, _, rest = (await reader.readline()).decode("latin-1").partition(" ")
    if not version.startswith("HTTP/1") or not rest[:3].isdigit():
        raise ValueError("malformed HTTP response")
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(rest[:3]), headers


async def _body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, status: int, headers: Mapping[str, str]
) -> AsyncGenerator[bytes, None]:
    try:
        if method == "HEAD" or status in (204, 304):
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await reader.readline()).split(b";")[0], 16):
                yield await reader.readexactly(size)
                await reader.readline()
            return
        left = int(headers.get("content-length", -1))
        while left and (data := await reader.read(_CHUNK if left < 0 else min(left, _CHUNK))):
            left -= len(data) if left > 0 else 0
            yield data
        if left > 0:
            raise EOFError("the answer ended too early")
    finally:
        writer.close()
