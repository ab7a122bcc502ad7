"""The HTTP transport against a server that is played by hand, on a free port of 127.0.0.1."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from lateen.client.client import Client
from lateen.client.http import HttpTransport
from lateen.client.kubeconfig import Cluster
from lateen.client.seam import Request
from lateen.errors import ForbiddenError, TransportError, UnauthorizedError
from lateen.kube.resources import CONFIGMAPS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[Cluster]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> Cluster:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        return Cluster(server=f"http://127.0.0.1:{port}")

    yield start
    for runner in runners:
        await runner.cleanup()


def event(name: str, data: str = "") -> bytes:
    obj = {"kind": "ConfigMap", "metadata": {"name": name, "resourceVersion": "1"}, "data": {"d": data}}
    return json.dumps({"type": "ADDED", "object": obj}).encode() + b"\n"


async def test_watches_survive_chunks_cut_anywhere(serve: Serve) -> None:
    big = "x" * 2_000_000
    wire = event("a") + event("b", big) + event("c")

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for cut in ((0, 3), (3, len(event("a")) + 10), (len(event("a")) + 10, len(wire))):
            await answer.write(wire[slice(*cut)])
        return answer

    client = Client(HttpTransport(await serve(handler)))
    found = [e.object["metadata"]["name"] async for e in client.watch(CONFIGMAPS)]
    await client.close()
    assert found == ["a", "b", "c"]


async def test_a_watch_that_breaks_is_a_transport_error(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(event("a"))
        assert request.transport is not None
        request.transport.abort()
        return answer

    client = Client(HttpTransport(await serve(handler)))
    seen = []
    with pytest.raises(TransportError):
        async for e in client.watch(CONFIGMAPS):
            seen.append(e)  # noqa: PERF401 - what came before the break counts
    await client.close()
    assert len(seen) == 1


async def test_errors_are_those_of_the_status(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}
        return web.json_response(status, status=403)

    client = Client(HttpTransport(await serve(handler)))
    with pytest.raises(ForbiddenError, match="no"):
        await client.get(CONFIGMAPS, "a", "n")
    with pytest.raises(ForbiddenError):
        async for _ in client.watch(CONFIGMAPS):
            pass
    await client.close()


async def test_nobody_there_and_nonsense_are_transport_errors(serve: Serve) -> None:
    nobody = Client(HttpTransport(Cluster(server="http://127.0.0.1:1")))
    with pytest.raises(TransportError, match="cannot reach"):
        await nobody.get(CONFIGMAPS, "a", "n")
    await nobody.close()

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b'{"kind":', content_type="application/json")

    client = Client(HttpTransport(await serve(handler)))
    with pytest.raises(TransportError, match="not JSON"):
        await client.get(CONFIGMAPS, "a", "n")
    await client.close()


async def test_what_is_sent(serve: Serve, tmp_path: Path) -> None:
    requests: list[tuple[str, str, str, bytes]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = request.headers
        requests.append((request.method, request.path_qs, headers.get("Authorization", ""), await request.read()))
        return web.json_response({"kind": "ConfigMap"})

    cluster = await serve(handler)
    file = tmp_path / "token"
    file.write_text("one\n")
    cluster.token_file = str(file)
    transport = HttpTransport(cluster)
    await transport.send(Request(method="POST", path="/api/v1/x", query={"command": ("a", "b")}, body={"k": 1}))
    file.write_text("two\n")  # rotated
    await transport.send(Request(method="GET", path="/api/v1/y"))
    await transport.close()
    assert requests == [
        ("POST", "/api/v1/x?command=a&command=b", "Bearer one", b'{"k":1}'),
        ("GET", "/api/v1/y", "Bearer two", b""),
    ]


async def test_a_plugin_gives_tokens_and_is_asked_again_when_they_expire(serve: Serve, tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = (
        "import json, os, pathlib\n"
        f"p = pathlib.Path({str(count)!r}); n = int(p.read_text()) + 1 if p.exists() else 1; p.write_text(str(n))\n"
        "assert json.loads(os.environ['KUBERNETES_EXEC_INFO'])['kind'] == 'ExecCredential'\n"
        "print(json.dumps({'status': {'token': f'token-{n}'}}))\n"
    )
    valid = {"token-1"}

    async def handler(request: web.Request) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token in valid:
            return web.json_response({"kind": "ConfigMap"})
        return web.json_response({"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "expired"}, status=401)

    cluster = await serve(handler)
    cluster.exec_plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", script],
    }
    client = Client(HttpTransport(cluster))
    await client.get(CONFIGMAPS, "a", "n")
    await client.get(CONFIGMAPS, "a", "n")
    assert count.read_text() == "1"
    valid.clear()
    valid.add("token-2")
    await client.get(CONFIGMAPS, "a", "n")
    assert count.read_text() == "2"
    valid.clear()
    with pytest.raises(UnauthorizedError):
        await client.get(CONFIGMAPS, "a", "n")
    assert count.read_text() == "3"  # asked once more, not for ever
    await client.close()
