"""Calls to other services, over kept-alive connections. The address comes from the environment (CART_URL, ...)."""

import asyncio
import json
import os
from typing import Any
from urllib.parse import urlsplit

import h11

from kit.server import Refused

_idle: dict[tuple[str, int], list[tuple[Any, Any, Any]]] = {}


def url_of(service: str) -> str:
    """The address that was injected for a needed service."""
    return os.environ[f"{service.upper()}_URL"]


async def call(method: str, service: str, path: str, body: Any = None) -> Any:
    """The JSON answer of another service. Its refusal (4xx) is passed on; its failure (5xx) becomes 502."""
    target = urlsplit(url_of(service))
    address = (target.hostname or "", target.port or 80)
    raw = b"" if body is None else json.dumps(body).encode()
    status, answer = await _exchange(address, method, path, raw)
    value = json.loads(answer or b"null")
    if status >= 400:
        reason = value.get("error") if isinstance(value, dict) else str(value)
        raise Refused(status if status < 500 else 502, f"{service}: {reason}")
    return value


async def _exchange(address: tuple[str, int], method: str, path: str, raw: bytes) -> tuple[int, bytes]:
    pool = _idle.setdefault(address, [])
    while pool:
        http, reader, writer = pool.pop()
        if reader.at_eof() or writer.is_closing():
            writer.close()
            continue
        try:
            return await _converse(address, (http, reader, writer), method, path, raw)
        except (ConnectionError, asyncio.IncompleteReadError, h11.RemoteProtocolError):
            # The kept-alive connection was closed under us. Every call of the shop may be repeated: orders and payments
            # carry the order's id.
            break
    reader, writer = await asyncio.open_connection(*address)
    return await _converse(address, (h11.Connection(h11.CLIENT), reader, writer), method, path, raw)


async def _converse(address: tuple[str, int], connection: Any, method: str, path: str, raw: bytes) -> tuple[int, bytes]:
    http, reader, writer = connection
    headers = [("host", f"{address[0]}:{address[1]}"), ("content-length", str(len(raw)))]
    data = http.send(h11.Request(method=method, target=path, headers=headers))
    writer.write(data + (http.send(h11.Data(data=raw)) or b"") + (http.send(h11.EndOfMessage()) or b""))
    status, answer = 0, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            received = await reader.read(65536)
            if not received:
                writer.close()
                raise ConnectionResetError("closed before the answer")
            http.receive_data(received)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            answer += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            break
    if http.our_state is h11.DONE and http.their_state is h11.DONE:
        http.start_next_cycle()
        _idle[address].append((http, reader, writer))
    else:
        writer.close()
    return status, answer
