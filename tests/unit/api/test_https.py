"""The socket: TLS, credentials, keep-alive, limits, compression, streams, a graceful end."""

from __future__ import annotations

import gzip
import io
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from lateen.cluster.api.auth.authenticator import Authenticator
from lateen.cluster.api.auth.pki import load_or_make, sign
from lateen.cluster.api.auth.tokens import StaticTokens
from lateen.cluster.api.https import BODY_LIMIT, HttpsServer
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.storage.memory import MemoryStorage

MAPS = "/api/v1/namespaces/default/configmaps"


class Door:
    """A listening server, a session to it, and its administrator's token."""

    def __init__(self, url: str, session: aiohttp.ClientSession, server: HttpsServer, token: str, tls: ssl.SSLContext) -> None:
        self.url, self.session, self.server, self.tls = url, session, server, tls
        self.headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any, Any]:
        headers = self.headers | kwargs.pop("headers", {})
        async with self.session.request(
            method, self.url + path, headers=headers, ssl=kwargs.pop("tls", self.tls), **kwargs
        ) as answer:
            return answer.status, await answer.read(), answer.headers


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    pki = load_or_make(tmp_path / "pki", ["127.0.0.1"])
    static = StaticTokens(tmp_path / "tokens.json")
    storage = MemoryStorage()
    async with ApiServer(storage) as api:
        server = HttpsServer(api, authenticator=Authenticator(static, api.accounts), tls=pki.server_context())
        port = await server.start("127.0.0.1", 0)
        tls = ssl.create_default_context(cadata=pki.ca.certificate.decode())
        user = sign(pki.ca, "jane", groups=["system:masters"])
        (tmp_path / "jane.pem").write_bytes(user.key + user.certificate)
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield Door(f"https://127.0.0.1:{port}", session, server, static.add(ADMIN), tls)
        await server.close(0.2)
    await storage.close()


async def test_objects_go_in_and_out_as_json_and_yaml(door: Door) -> None:
    status, body, headers = await door.ask("POST", MAPS, json={"metadata": {"name": "a"}, "data": {"x": "1"}})
    assert status == 201 and orjson.loads(body)["data"] == {"x": "1"}
    assert headers["Content-Type"] == "application/json" and "Date" not in headers and "Server" not in headers
    text = "metadata: {name: b}\ndata: {day: 2026-01-01}\n"
    status, body, _ = await door.ask("POST", MAPS, data=text.encode(), headers={"Content-Type": "application/yaml"})
    assert (status, orjson.loads(body)["data"]) == (201, {"day": "2026-01-01"}), "dates stay text"
    status, body, headers = await door.ask("GET", f"{MAPS}/b", headers={"Accept": "application/yaml"})
    assert headers["Content-Type"] == "application/yaml" and b"name: b" in body
    status, body, _ = await door.ask("POST", MAPS, data=b"{nonsense", headers={"Content-Type": "application/json"})
    assert status == 400 and orjson.loads(body)["reason"] == "BadRequest"
    status, _, _ = await door.ask("POST", MAPS, data=b"x", headers={"Content-Type": "text/css"})
    assert status == 415
    status, _, _ = await door.ask(
        "POST", MAPS, data=io.BytesIO(b"x" * (BODY_LIMIT + 1)), headers={"Content-Type": "application/json"}
    )
    assert status == 413


async def test_who_asks(door: Door, tmp_path: Path) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

    async def me(**kwargs: Any) -> Any:
        status, body, _ = await door.ask("POST", path, json=review, **kwargs)
        found = orjson.loads(body)
        return found["status"]["userInfo"]["username"] if status == 201 else found["reason"]

    assert await me() == "kubernetes-admin"
    assert await me(headers={"Authorization": "Bearer nonsense"}) == "Unauthorized"
    assert await me(headers={"Authorization": ""}) == "Forbidden"
    assert await me(headers={"Impersonate-User": "bob", "Impersonate-Group": "devs"}) == "bob"
    with_certificate = ssl.create_default_context(cafile=str(tmp_path / "pki" / "ca.crt"))
    with_certificate.load_cert_chain(tmp_path / "jane.pem")
    assert await me(headers={"Authorization": ""}, tls=with_certificate) == "jane"


async def test_large_answers_are_compressed_when_asked(door: Door) -> None:
    for i in range(3):
        await door.ask("POST", MAPS, json={"metadata": {"name": f"c{i}"}, "data": {"x": "y" * 60_000}})
    _, plain, headers = await door.ask("GET", MAPS, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in headers
    _, packed, headers = await door.ask("GET", MAPS, headers={"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip" and len(packed) < len(plain) and gzip.decompress(packed) == plain


async def test_a_watch_is_a_chunked_stream_that_ends_with_the_server(door: Door) -> None:
    url = f"{door.url}{MAPS}?watch=true&resourceVersion="
    _, body, _ = await door.ask("GET", MAPS)
    version = orjson.loads(body)["metadata"]["resourceVersion"]
    async with door.session.get(url + version, headers=door.headers, ssl=door.tls) as stream:
        assert stream.headers["Transfer-Encoding"] == "chunked"
        await door.ask("POST", MAPS, json={"metadata": {"name": "a"}})
        event = orjson.loads(await stream.content.readline())
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        await door.server.close(0.2)
        assert await stream.content.readline() == b""


async def test_one_connection_serves_many_requests(door: Door) -> None:
    for _ in range(5):
        assert (await door.ask("GET", "/readyz"))[1] == b"ok"
    assert door.session.connector is not None
    assert len(door.session.connector._conns) == 1  # aiohttp tells in no other way


async def test_health_metrics_and_keys(door: Door) -> None:
    status, body, _ = await door.ask("GET", "/livez?verbose", headers={"Authorization": ""})
    assert status == 200 and b"[+]ping ok" in body
    assert (await door.ask("GET", "/metrics", headers={"Authorization": ""}))[0] == 403
    await door.ask("GET", MAPS)
    _, body, _ = await door.ask("GET", "/metrics")
    labels = 'verb="LIST",group="",version="v1",resource="configmaps",subresource="",scope="namespace",code="200"'
    line = f"apiserver_request_total{{{labels}}} 1"
    assert line in body.decode().splitlines()
    _, body, _ = await door.ask("GET", "/openid/v1/jwks")
    assert orjson.loads(body)["keys"][0]["alg"] == "ES256"
    status, body, _ = await door.ask("GET", "/nonsense")
    assert status == 404 and orjson.loads(body)["message"] == "the server could not find the requested resource"
