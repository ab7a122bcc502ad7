"""Checks of probes against a real server on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from lateen.cluster.node import probe
from lateen.cluster.node.seam import Connection

Answers = dict[str, tuple[int, str]]


class Server:
    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[list[str]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [(await reader.readline()).decode().strip()]
        while lines[-1]:
            lines.append((await reader.readline()).decode().strip())
        self.asked.append(lines[:-1])
        code, location = self.answers[lines[0].split()[1]]
        writer.write(f"HTTP/1.1 {code} X\r\n{f'Location: {location}' if location else 'X: y'}\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def check(self, get: Mapping[str, Any]) -> probe.Result:
        handler = {"httpGet": {"port": "web", **get}}
        access = probe.Access(ip="127.0.0.1", reach=_reach, run=_none)
        return await probe.check(handler, {"ports": [{"name": "web", "containerPort": self.port}]}, access, 2.0)


async def _reach(host: str, port: int, tls: ssl.SSLContext | None = None) -> Connection:
    return await asyncio.open_connection(host, port, ssl=tls)


async def _none(argv: Any, *, seconds: float) -> tuple[int, bytes]:
    raise NotImplementedError


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    listener = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield found


async def test_redirects_on_the_same_host_are_followed(server: Server) -> None:
    server.answers = {"/": (302, "/login"), "/login": (500, ""), "/away": (302, "http://example.com/"), "/loop": (307, "/loop")}
    assert await server.check({"path": "/"}) == probe.Result(False, "HTTP probe failed with statuscode: 500")
    assert (await server.check({"path": "/away"})).ok
    assert "stopped after 10 redirects" in (await server.check({"path": "/loop"})).message


async def test_headers(server: Server) -> None:
    server.answers = {"/a?b=c": (204, "")}
    headers = [{"name": "Host", "value": "shop.example"}, {"name": "X-Who", "value": "me"}]
    assert (await server.check({"path": "/a?b=c", "httpHeaders": headers})).ok
    asked = server.asked[0]
    assert "host: shop.example" in asked and "x-who: me" in asked and "user-agent: kube-probe/1.37" in asked


async def test_https_asks_whether_it_answers_not_who_it_is(server: Server) -> None:
    contexts: list[ssl.SSLContext | None] = []

    async def reach(host: str, port: int, tls: ssl.SSLContext | None = None) -> Connection:
        contexts.append(tls)
        return await asyncio.open_connection(host, port)

    server.answers = {"/": (200, "")}
    access = probe.Access(ip="127.0.0.1", reach=reach, run=_none)
    assert (await probe.check({"httpGet": {"port": server.port, "scheme": "HTTPS"}}, {}, access, 2.0)).ok
    assert contexts[0] is not None and contexts[0].verify_mode == ssl.CERT_NONE and not contexts[0].check_hostname


def test_lengths_as_protobuf_writes_them() -> None:
    assert [probe._varint(n) for n in (5, 127, 128, 300)] == [b"\x05", b"\x7f", b"\x80\x01", b"\xac\x02"]


async def test_grpc_health() -> None:
    import grpc

    answers = {b"": b"\x08\x01", b"\x0a\x04shop": b"\x08\x02"}

    async def check_health(request: bytes, context: Any) -> bytes:
        if request not in answers:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return answers[request]

    server = grpc.aio.server()
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check_health)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    access = probe.Access(ip="127.0.0.1", reach=_reach, run=_none)

    async def ask(**more: Any) -> probe.Result:
        return await probe.check({"grpc": {"port": port, **more}}, {}, access, 2.0)

    try:
        assert (await ask()).ok
        assert (await ask(service="shop")).message == 'service unhealthy (responded with "NOT_SERVING")'
        assert "code = NotFound desc = unknown service" in (await ask(service="x" * 200)).message
    finally:
        await server.stop(None)
