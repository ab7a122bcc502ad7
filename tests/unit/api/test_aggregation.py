"""APIServices: local ones, remote ones over a real TLS connection, discovery, availability, upgrades."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from extension import Extension, behind_service, extension

from lateen.client.client import Client
from lateen.client.discovery import Discovery
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.aggregation.services import faults
from lateen.cluster.api.auth.authenticator import Authenticator
from lateen.cluster.api.auth.pki import load_or_make
from lateen.cluster.api.auth.tokens import StaticTokens
from lateen.cluster.api.https import HttpsServer
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN, UserInfo
from lateen.errors import ApiError, ForbiddenError, InvalidError, NotFoundError
from lateen.kube.meta import Object, condition
from lateen.kube.resources import APISERVICES, ENDPOINTSLICES, SERVICES, Resource

GROUP, VERSION = "wares.example.com", "v1beta1"
BASE = f"/apis/{GROUP}/{VERSION}"
WARES = Resource(group=GROUP, version=VERSION, kind="Ware", plural="wares", namespaced=True)
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {"name": "wares", "singularName": "ware", "namespaced": True, "kind": "Ware", "verbs": ["get", "list", "watch"]},
        {"name": "wares/status", "singularName": "", "namespaced": True, "kind": "Ware", "verbs": ["get"]},
    ],
}
WARE = {"kind": "Ware", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {"name": "salt", "namespace": "default"}}


class Wares:
    """The extension API server; it remembers who asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, list[str]]] = []
        self.broken = False

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        self.asked.append((request.method, request.path_qs, headers.get("X-Remote-User", ""), headers.getall("X-Remote-Group", [])))
        assert "Authorization" not in headers
        if self.broken:
            return web.Response(status=500)
        if request.path == BASE:
            return web.json_response(RESOURCES)
        if request.path == "/openapi/v3":
            return web.json_response({"paths": {BASE[1:]: {"serverRelativeURL": f"/openapi/v3{BASE}?hash=AB"}}})
        if request.headers.get("Upgrade"):
            return await self._socket(request)
        if "watch" in request.query:
            return await self._watch(request)
        if request.path.endswith("/wares") and request.method == "GET":
            return web.json_response({"kind": "WareList", "metadata": {"resourceVersion": "7"}, "items": [WARE]})
        if request.method == "POST":
            return web.json_response(await request.json(), status=201)
        status = {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no such ware"}
        return web.json_response(status, status=404)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        for kind in ("ADDED", "MODIFIED"):
            await answer.write(json.dumps({"type": kind, "object": WARE}).encode() + b"\n")
            await asyncio.sleep(0.01)
        return answer

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("echo",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"you said {message.data}")
        return socket


def api_service(ext: Extension, **more: Any) -> Object:
    spec = {
        "group": GROUP,
        "version": VERSION,
        "groupPriorityMinimum": 200,
        "versionPriority": 15,
        "service": {"namespace": "default", "name": "ext"},
        "caBundle": ext.bundle,
    }
    return {"metadata": {"name": f"{VERSION}.{GROUP}"}, "spec": {k: v for k, v in (spec | more).items() if v is not None}}


@pytest.fixture
async def wares() -> Wares:
    return Wares()


@pytest.fixture
async def ext(tmp_path: Path, wares: Wares) -> AsyncIterator[Extension]:
    async with extension(tmp_path, wares) as found:
        yield found


async def until(what: Callable[[], Awaitable[Any]], seconds: float = 5.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await what()):
            await asyncio.sleep(0.01)
        return found


async def reason_is(client: Client, reason: str, name: str = f"{VERSION}.{GROUP}") -> Object:
    async def look() -> Any:
        obj = next((o for o in (await client.list(APISERVICES)).items if o["metadata"]["name"] == name), {})
        found = condition((obj.get("status") or {}).get("conditions"), "Available")
        return found if found and found["reason"] == reason else None

    result: Object = await until(look)
    return result


@pytest.fixture
async def served(client: Client, ext: Extension) -> None:
    await behind_service(client, ext.port)
    await client.create(APISERVICES, api_service(ext))
    await reason_is(client, "Passed")


async def test_every_group_version_has_a_local_api_service(client: Client) -> None:
    found = await reason_is(client, "Local", "v1.apps")
    assert (found["status"], found["message"]) == ("True", "Local APIServices are always available")
    names = {o["metadata"]["name"] for o in (await client.list(APISERVICES)).items}
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.apiregistration.k8s.io", "v1beta1.metrics.k8s.io"} <= names
    await client.delete(APISERVICES, "v1.batch")
    await reason_is(client, "Local", "v1.batch")


async def test_a_custom_group_gets_and_loses_its_api_service(client: Client) -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    spec = {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "cars", "kind": "Car"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    crds = Resource(
        group="apiextensions.k8s.io",
        version="v1",
        kind="CustomResourceDefinition",
        plural="customresourcedefinitions",
        namespaced=False,
    )
    await client.create(crds, {"metadata": {"name": "cars.example.org"}, "spec": spec})
    await reason_is_there(client, "v1.example.org")
    made = await client.get(APISERVICES, "v1.example.org")
    assert made["spec"] == {"group": "example.org", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100}
    assert made["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    await client.delete(crds, "cars.example.org")

    async def gone() -> bool:
        return all(o["metadata"]["name"] != "v1.example.org" for o in (await client.list(APISERVICES)).items)

    await until(gone)


async def reason_is_there(client: Client, name: str) -> None:
    async def look() -> bool:
        return any(o["metadata"]["name"] == name for o in (await client.list(APISERVICES)).items)

    await until(look)


@pytest.mark.usefixtures("served")
async def test_requests_go_through_with_who_asks(client: Client, wares: Wares) -> None:
    found = await client.list(WARES, "default", label_selector="a=b")
    assert found.items[0]["metadata"]["name"] == "salt"
    path = f"{BASE}/namespaces/default/wares?labelSelector=a%3Db"
    asked = [a for a in wares.asked if a[1].startswith(path)]
    assert asked == [("GET", asked[0][1], "kubernetes-admin", ["system:masters", "system:authenticated"])]
    made = await client.create(WARES, {"metadata": {"name": "salt", "namespace": "default"}, "grams": 5})
    assert made["grams"] == 5
    with pytest.raises(NotFoundError, match="no such ware"):
        await client.get(WARES, "pepper", "default")
    events = [e async for e in client.watch(WARES, "default", resource_version="7")]
    assert [e.type for e in events] == ["ADDED", "MODIFIED"]


@pytest.mark.usefixtures("served")
async def test_rbac_decides_first(api: ApiServer) -> None:
    nobody = Client(InProcessTransport(api.handler_for(UserInfo(name="jane"))))
    with pytest.raises(ForbiddenError, match=f'wares.{GROUP} is forbidden: User "jane" cannot list resource "wares"'):
        await nobody.list(WARES, "default")


@pytest.mark.usefixtures("served")
async def test_discovery_is_merged(client: Client) -> None:
    discovery = Discovery(client)
    found = await discovery.named("wares")
    assert found is not None and found.api_version == f"{GROUP}/{VERSION}" and found.subresources == ("status",)
    assert await discovery.find(f"{GROUP}/{VERSION}", "Ware") is not None  # its own page, from the extension
    groups = (await client.raw("GET", "/apis")).object["groups"]
    assert next(g for g in groups if g["name"] == GROUP)["preferredVersion"]["version"] == VERSION
    assert (await client.raw("GET", f"/apis/{GROUP}")).object["kind"] == "APIGroup"
    index = (await client.raw("GET", "/openapi/v3")).object["paths"]
    assert index[f"apis/{GROUP}/{VERSION}"]["serverRelativeURL"] == f"/openapi/v3{BASE}?hash=AB"


async def test_conditions_say_what_is_wrong(client: Client, ext: Extension, wares: Wares) -> None:
    await client.create(APISERVICES, api_service(ext))
    found = await reason_is(client, "ServiceNotFound")
    assert (found["status"], found["message"]) == ("False", 'service/ext in "default" is not present')
    await client.create(SERVICES, {"metadata": {"name": "ext", "namespace": "default"}, "spec": {"ports": [{"port": 444}]}})
    found = await reason_is(client, "ServicePortError")
    assert found["message"] == 'service/ext in "default" is not listening on port 443'
    await client.patch(SERVICES, "ext", {"spec": {"ports": [{"port": 443}]}}, namespace="default")
    await reason_is(client, "EndpointsNotFound")
    with pytest.raises(ApiError, match="service unavailable") as refused:
        await client.list(WARES, "default")
    assert refused.value.status["code"] == 503
    await client.delete(SERVICES, "ext", "default")
    wares.broken = True
    await behind_service(client, ext.port)
    found = await reason_is(client, "FailedDiscoveryCheck")
    assert f"/apis/{GROUP}/{VERSION}: 500" in found["message"]
    wares.broken = False
    await reason_is(client, "Passed")
    await client.delete(ENDPOINTSLICES, "ext", "default")
    await reason_is(client, "EndpointsNotFound")
    discovery = Discovery(client)
    await discovery.preferred()
    assert discovery.stale == [f"{GROUP}/{VERSION}"]
    await client.delete(APISERVICES, f"{VERSION}.{GROUP}")
    with pytest.raises(NotFoundError):
        await client.list(WARES, "default")


async def test_a_wrong_authority_is_not_believed_unless_told(client: Client, ext: Extension) -> None:
    await behind_service(client, ext.port)
    await client.create(APISERVICES, api_service(ext, caBundle=None))
    found = await reason_is(client, "FailedDiscoveryCheck")
    assert "certificate verify failed" in found["message"].lower()
    await client.patch(APISERVICES, f"{VERSION}.{GROUP}", {"spec": {"insecureSkipTLSVerify": True}})
    await reason_is(client, "Passed")


async def test_a_built_in_group_version_may_be_given_away_and_comes_back(client: Client, ext: Extension, wares: Wares) -> None:
    await behind_service(client, ext.port)
    await reason_is(client, "Local", "v1beta1.metrics.k8s.io")
    service = {"service": {"namespace": "default", "name": "ext"}, "insecureSkipTLSVerify": True}
    await client.patch(APISERVICES, "v1beta1.metrics.k8s.io", {"spec": service})
    await reason_is(client, "FailedDiscoveryCheck", "v1beta1.metrics.k8s.io")
    with pytest.raises(ApiError, match="service unavailable"):
        await client.raw("GET", "/apis/metrics.k8s.io/v1beta1/nodes")
    await client.delete(APISERVICES, "v1beta1.metrics.k8s.io")
    await reason_is(client, "Local", "v1beta1.metrics.k8s.io")
    assert (await client.raw("GET", "/apis/metrics.k8s.io/v1beta1/nodes")).object["kind"] == "NodeMetricsList"


async def test_what_cannot_be_is_refused(client: Client, ext: Extension) -> None:
    with pytest.raises(InvalidError, match="insecureSkipTLSVerify"):
        await client.create(APISERVICES, api_service(ext, insecureSkipTLSVerify=True))
    wrong = {"metadata": {"name": "x"}, "spec": {"group": "g", "version": "v1", "service": {"port": 0}}}
    assert [f.field for f in faults(wrong)] == [
        "metadata.name",
        "spec.groupPriorityMinimum",
        "spec.versionPriority",
        "spec.service.namespace",
        "spec.service.name",
        "spec.service.port",
    ]


@pytest.mark.usefixtures("served")
async def test_upgrades_and_streams_over_the_socket(api: ApiServer, tmp_path: Path) -> None:
    pki = load_or_make(tmp_path / "pki", ["127.0.0.1"])
    static = StaticTokens(tmp_path / "tokens.json")
    server = HttpsServer(api, authenticator=Authenticator(static, api.accounts), tls=pki.server_context())
    port = await server.start("127.0.0.1", 0)
    tls = ssl.create_default_context(cadata=pki.ca.certificate.decode())
    headers = {"Authorization": f"Bearer {static.add(ADMIN)}"}
    url = f"https://127.0.0.1:{port}{BASE}/namespaces/default/wares"
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(url, params={"watch": "1"}, ssl=tls) as answer:
            lines = [json.loads(line)["type"] async for line in answer.content]
        assert lines == ["ADDED", "MODIFIED"]
        async with session.ws_connect(f"{url}/salt/console", ssl=tls, protocols=("echo",)) as socket:
            assert socket.protocol == "echo"
            await socket.send_str("hello")
            assert await socket.receive_str(timeout=5) == "you said hello"
    await server.close(0.2)


@pytest.mark.usefixtures("served")
async def test_a_local_one_comes_back_beside_remote_ones(client: Client) -> None:
    await client.delete(APISERVICES, "v1.batch")
    await reason_is(client, "Local", "v1.batch")
