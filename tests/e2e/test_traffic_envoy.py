"""Traffic with real Envoys."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from traffic_rig import Pod, Rig, free_port, rig_for, weights

from lateen.aio.tasks import gather
from lateen.kube.meta import condition
from lateen.kube.resources import GATEWAYS, GRPCROUTES, HTTPROUTES, PODS, SERVICES

pytestmark = pytest.mark.peer


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_for(tmp_path) as made:
        yield made


class Load:
    """Keeps asking until stopped; counts answers by status."""

    def __init__(self, rig: Rig, url: str, clients: int = 8) -> None:
        self.rig, self.url, self.clients = rig, url, clients
        self.counts: dict[Any, int] = {}
        self.pods: dict[str, int] = {}
        self._on = True

    async def __aenter__(self) -> Load:
        self._task = self.rig.owner.start(gather([self._one() for _ in range(self.clients)]), "load")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._on = False
        await self._task

    async def _one(self) -> None:
        while self._on:
            status: int | str
            try:
                status, body = await self.rig.get(self.url)
            except Exception as error:  # noqa: BLE001 - every failure is counted, whatever it is
                status, body = type(error).__name__, None
            self.counts[status] = self.counts.get(status, 0) + 1
            if isinstance(body, dict):
                self.pods[body["pod"]] = self.pods.get(body["pod"], 0) + 1


async def admit(rig: Rig, pod: Pod, seconds: float = 5.0) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    try:
        async with asyncio.timeout(seconds):
            await rig.traffic.gate.admit(pod.object, lambda reason, message: said.append((reason, message)))
    except TimeoutError:
        raise AssertionError(f"{pod.name} is not admitted: {said}") from None
    return said


async def test_a_service_address_carries_http_and_tcp(rig: Rig) -> None:
    url = await rig.service("shop")
    raw = await rig.service("raw", port=8001, appProtocol=None)
    pod = await rig.pod("shop")
    await rig.pod("raw")
    await admit(rig, pod)
    status, body = await rig.get(url + "/x?y=1")
    assert (status, body["pod"], body["path"]) == (200, "shop-1", "/x?y=1")
    assert (await rig.until(raw))["pod"] == "raw-2"


async def test_a_gateway_routes_by_weight_and_a_change_takes_effect(rig: Rig) -> None:
    await rig.service("one")
    await rig.service("two")
    for name in ("one", "two"):
        await admit(rig, await rig.pod(name))
    await rig.gateway()
    await rig.route("r", {"backendRefs": weights(("one", 1), ("two", 0))})
    gateway = await rig.condition(GATEWAYS, "web", "Programmed")
    url = f"http://127.0.0.1:{rig.gateway_port}/"
    assert {"type": "lateen.dev/http", "value": url.rstrip("/")} in gateway["status"]["addresses"]
    assert gateway["status"]["listeners"][0]["attachedRoutes"] == 1
    assert (await rig.until(url))["pod"].startswith("one")
    took = []
    for turn in range(10):
        share = weights(("one", turn % 2), ("two", 1 - turn % 2))
        start = time.monotonic()
        await rig.client.patch(HTTPROUTES, "r", {"spec": {"rules": [{"backendRefs": share}]}}, namespace="default")
        while not (await rig.get(url))[1]["pod"].startswith("one" if turn % 2 else "two"):
            pass
        took.append(time.monotonic() - start)
    assert sorted(took)[5] < 0.5, took
    route = await rig.client.get(HTTPROUTES, "r", "default")
    async with asyncio.timeout(5):
        while True:
            conditions = route["status"]["parents"][0]["conditions"]
            live = condition(conditions, "lateen.dev/Programmed") or {}
            if (live.get("status"), live.get("observedGeneration")) == ("True", route["metadata"]["generation"]):
                break
            route = await rig.client.get(HTTPROUTES, "r", "default")
            await asyncio.sleep(0.01)
    assert {c["type"]: c["status"] for c in conditions} == {
        "Accepted": "True",
        "ResolvedRefs": "True",
        "lateen.dev/Programmed": "True",
    }


async def test_bad_backends_answer_500_and_say_why(rig: Rig) -> None:
    await rig.gateway()
    await rig.route("r", {"backendRefs": weights(("missing", 1))})
    await rig.until(f"http://127.0.0.1:{rig.gateway_port}/", 500)
    async with asyncio.timeout(5):
        while not (route := await rig.client.get(HTTPROUTES, "r", "default")).get("status", {}).get("parents"):
            await asyncio.sleep(0.01)
    found = condition(route["status"]["parents"][0]["conditions"], "ResolvedRefs") or {}
    assert (found["status"], found["reason"]) == ("False", "BackendNotFound")


async def test_replacing_pods_under_load_loses_nothing(rig: Rig) -> None:
    """The order of a rolling update: admit the new, withdraw the old, then kill it without mercy."""
    url = await rig.service("shop")
    pods = [await rig.pod("shop", delay=0.01) for _ in range(2)]
    for pod in pods:
        await admit(rig, pod)
    async with Load(rig, url + "/") as load:
        for _ in range(4):
            await asyncio.sleep(0.1)
            fresh = await rig.pod("shop", delay=0.01)
            await admit(rig, fresh)
            old = pods.pop(0)
            pods.append(fresh)
            old.state["terminating"] = True
            await rig.slice("shop")
            async with asyncio.timeout(5):
                await rig.traffic.gate.withdraw(old.object)
            served = old.served
            await asyncio.sleep(0.02)
            assert old.served == served, "a withdrawn pod received a request"
            await old.stop()
            old.state = {}
            await rig.slice("shop")
    assert set(load.counts) == {200}
    assert load.counts[200] > 100
    assert {p.name for p in pods} <= set(load.pods)


async def test_killing_a_pod_under_load_loses_no_read(rig: Rig) -> None:
    url = await rig.service("shop")
    pods = [await rig.pod("shop", delay=0.005) for _ in range(3)]
    for pod in pods:
        await admit(rig, pod)
    async with Load(rig, url + "/", clients=16) as load:
        await asyncio.sleep(0.3)
        await pods[0].stop()
        await asyncio.sleep(0.5)
    assert set(load.counts) == {200}


async def test_the_last_pod_serves_until_its_replacement_does(rig: Rig) -> None:
    url = await rig.service("shop")
    old = await rig.pod("shop")
    await admit(rig, old)
    async with Load(rig, url + "/", clients=2) as load:
        fresh = await rig.pod("shop", joined=False)
        fresh.state = {}
        old.state["terminating"] = True
        await rig.slice("shop")
        withdrawn = rig.owner.start(rig.traffic.gate.withdraw(old.object), "withdraw")
        await asyncio.sleep(0.4)
        assert not withdrawn.done()
        fresh.state = {"ready": False, "serving": True, "terminating": False}
        await rig.slice("shop")
        async with asyncio.timeout(5):
            await withdrawn
        await old.stop()
        await asyncio.sleep(0.1)
    assert set(load.counts) == {200}
    assert fresh.served > 0


async def test_the_last_pod_without_replacement_is_withdrawn(rig: Rig) -> None:
    url = await rig.service("shop")
    old = await rig.pod("shop")
    await admit(rig, old)
    assert (await rig.get(url + "/"))[0] == 200
    old.state["terminating"] = True
    await rig.slice("shop")
    async with asyncio.timeout(2):
        await rig.traffic.gate.withdraw(old.object)
    served = old.served
    assert (await rig.get(url + "/"))[0] == 503
    assert old.served == served


async def test_a_request_under_way_holds_its_pod(rig: Rig) -> None:
    url = await rig.service("shop")
    old, other = await rig.pod("shop", delay=0.5), await rig.pod("shop", delay=0.5)
    for pod in (old, other):
        await admit(rig, pod)
    asked: list[asyncio.Task[tuple[int, Any]]] = []
    while not old.begun:  # chance decides which of the two gets a request, and load decides when
        asked.append(rig.owner.start(rig.get(url + "/"), f"ask-{len(asked)}"))
        await asyncio.sleep(0.02)
    old.state["terminating"] = True
    await rig.slice("shop")
    start = time.monotonic()
    await rig.traffic.gate.withdraw(old.object)
    assert time.monotonic() - start > 0.2
    await old.stop()
    assert {(await a)[0] for a in asked} == {200}


async def test_a_refused_listener_is_named(rig: Rig) -> None:
    """Somebody holds the port on every address: the Service says so, its pods are not admitted, and it heals."""
    with socket.socket() as squatter:
        squatter.bind(("0.0.0.0", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        url = await rig.service("shop", port=port)
        pod = await rig.pod("shop")
        said: list[tuple[str, str]] = []
        waiting = rig.owner.start(rig.traffic.gate.admit(pod.object, lambda r, m: said.append((r, m))), "admit")
        await rig.eventually(lambda: any(reason == "Nack" for reason, _ in said))
        assert any("Address already in use" in message for _, message in said)
        async with asyncio.timeout(5):
            while not (service := await rig.client.get(SERVICES, "shop", "default"))["status"].get("conditions"):
                await asyncio.sleep(0.01)
        found = condition(service["status"]["conditions"], "lateen.dev/Programmed") or {}
        assert found["status"] == "False"
        assert "Address already in use" in found["message"]
        assert not waiting.done()
    async with asyncio.timeout(8):
        await waiting
    assert (await rig.get(url))[0] == 200


async def test_the_daemon_may_go_and_come_back(rig: Rig) -> None:
    url = await rig.service("shop")
    first = await rig.pod("shop", delay=0.002)
    await admit(rig, first)
    pids = {p.id: p.pid for p in rig.shim.processes().values()}
    async with Load(rig, url + "/", clients=4) as load:
        await rig.traffic.stop(keep_envoys=True)
        await asyncio.sleep(0.2)
        await rig.start_traffic()
        second = await rig.pod("shop")
        said = await admit(rig, second)
        await asyncio.sleep(0.1)
    assert set(load.counts) == {200}, said
    assert second.served > 0
    assert {p.id: p.pid for p in rig.shim.processes().values()} == pids


async def test_a_killed_proxy_comes_back(rig: Rig) -> None:
    url = await rig.service("shop")
    await admit(rig, await rig.pod("shop"))
    pid = rig.shim.processes()["envoy-mesh"].pid
    os.kill(pid, signal.SIGKILL)
    await rig.eventually(lambda: not rig.traffic._hub.connected("mesh"))
    said = await admit(rig, await rig.pod("shop"))
    assert any(reason == "ProxyDown" for reason, _ in said)
    await rig.until(url)
    assert rig.shim.processes()["envoy-mesh"].pid != pid
    assert rig.traffic.proxies["mesh"].restarts == 1


async def test_a_pod_of_no_service_is_admitted_at_once(rig: Rig) -> None:
    meta = {"name": "lone", "namespace": "default", "labels": {"app": "lone"}}
    pod = await rig.client.create(
        PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    )
    async with asyncio.timeout(1):
        await rig.traffic.gate.admit(pod, lambda *_: None)
        await rig.traffic.gate.withdraw(pod)


async def test_matches_filters_and_timeouts_are_carried_out(rig: Rig) -> None:
    await rig.service("one")
    await rig.service("two")
    await rig.service("slow")
    for name, delay in (("one", 0.0), ("two", 0.0), ("slow", 0.5)):
        await admit(rig, await rig.pod(name, delay=delay))
    to = {name: {"backendRefs": weights((name, 1))} for name in ("one", "two", "slow")}
    edit = {
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": {"set": [{"name": "x-set", "value": "50%"}], "remove": ["x-gone"]},
    }
    rewrite = {
        "type": "URLRewrite",
        "urlRewrite": {"hostname": "inner", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
    }
    whole = {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/all"}}}
    there = {"type": "RequestRedirect", "requestRedirect": {"hostname": "x.example", "statusCode": 301}}
    prefix = {"type": "RequestRedirect", "requestRedirect": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}
    await rig.gateway()
    await rig.route(
        "r",
        {"matches": [{"path": {"value": "/"}}], **to["one"], "filters": [edit]},
        {"matches": [{"path": {"type": "Exact", "value": "/exact"}}], **to["two"]},
        {"matches": [{"path": {"type": "RegularExpression", "value": "/re/[0-9]+"}}], **to["two"]},
        {"matches": [{"headers": [{"name": "X-Canary", "value": "yes"}]}], **to["two"]},
        {"matches": [{"queryParams": [{"name": "v", "value": "2"}]}], **to["two"]},
        {"matches": [{"method": "DELETE"}], **to["two"]},
        {"matches": [{"path": {"value": "/in/"}}], **to["one"], "filters": [rewrite]},
        {"matches": [{"path": {"value": "/whole"}}], **to["one"], "filters": [whole]},
        {"matches": [{"path": {"value": "/there"}}], "filters": [there]},
        {"matches": [{"path": {"value": "/old"}}], "filters": [prefix]},
        {"matches": [{"path": {"value": "/slow"}}], **to["slow"], "timeouts": {"request": "100ms"}},
    )
    url = f"http://127.0.0.1:{rig.gateway_port}"
    body = await rig.until(url + "/", headers={"x-gone": "1"})
    headers = {k.lower(): v for k, v in body["headers"].items()}
    assert body["pod"].startswith("one")
    assert (headers["x-set"], "x-gone" in headers) == ("50%", False)
    for path, more in (("/exact", {}), ("/re/12", {}), ("/?v=2", {}), ("/", {"headers": {"x-canary": "yes"}})):
        assert (await rig.get(url + path, **more))[1]["pod"].startswith("two"), path
    for path in ("/exact/more", "/re/x", "/?v=3", "/inside"):
        assert (await rig.get(url + path))[1]["pod"].startswith("one"), path
    async with rig.http.delete(url + "/") as answer:
        assert (await answer.json())["pod"].startswith("two")
    inner = (await rig.get(url + "/in/side?q=1"))[1]
    assert (inner["path"], inner["headers"].get("Host") or inner["headers"].get("host")) == ("/side?q=1", "inner")
    assert (await rig.get(url + "/in"))[1]["path"] == "/"
    assert (await rig.get(url + "/whole/x?q=1"))[1]["path"] == "/all?q=1"
    for path, code, place in (("/there/x?y=1", 301, "x.example"), ("/old/x", 302, f"127.0.0.1:{rig.gateway_port}")):
        async with rig.http.get(url + path, allow_redirects=False) as answer:
            assert answer.status == code
            assert answer.headers["location"] == f"http://{place}{path.replace('/old', '/new')}"
    assert (await rig.get(url + "/slow"))[0] == 504


async def test_https_by_name_and_a_renewed_certificate(rig: Rig) -> None:
    await rig.service("one")
    await admit(rig, await rig.pod("one"))
    port = free_port()
    await rig.certificate("cert", "secure.example.com")
    await rig.gateway(
        {
            "name": "https",
            "port": port,
            "protocol": "HTTPS",
            "hostname": "secure.example.com",
            "tls": {"certificateRefs": [{"name": "cert"}]},
        }
    )
    await rig.route("r", {"backendRefs": weights(("one", 1))})
    await rig.condition(GATEWAYS, "web", "Programmed")
    more: dict[str, Any] = {"ssl": False, "server_hostname": "secure.example.com", "headers": {"host": "secure.example.com"}}
    assert (await rig.until(f"https://127.0.0.1:{port}/", **more))["pod"].startswith("one")
    before = peer_certificate(port)
    await rig.certificate("cert", "secure.example.com")
    await rig.eventually(lambda: peer_certificate(port) != before)


async def test_a_gateway_without_its_certificate_says_so(rig: Rig) -> None:
    tls = {"certificateRefs": [{"name": "missing"}]}
    await rig.gateway({"name": "https", "port": free_port(), "protocol": "HTTPS", "tls": tls})
    async with asyncio.timeout(5):
        while not (gateway := await rig.client.get(GATEWAYS, "web", "default")).get("status", {}).get("listeners"):
            await asyncio.sleep(0.01)
    found = {c["type"]: (c["status"], c["reason"]) for c in gateway["status"]["listeners"][0]["conditions"]}
    assert found["ResolvedRefs"] == ("False", "InvalidCertificateRef")
    assert found["Programmed"] == ("False", "Invalid")


async def test_rules_for_a_service_hold_in_the_mesh(rig: Rig) -> None:
    url = await rig.service("one")
    await rig.service("two")
    for name in ("one", "two"):
        await admit(rig, await rig.pod(name))
    assert (await rig.get(url))[1]["pod"].startswith("one")
    rule = {"backendRefs": weights(("two", 1))}
    await rig.route("r", rule, parentRefs=[{"group": "", "kind": "Service", "name": "one"}])
    async with asyncio.timeout(5):
        while not (await rig.get(url))[1]["pod"].startswith("two"):
            await asyncio.sleep(0.005)


async def test_grpc_through_a_service_and_a_gateway(rig: Rig) -> None:
    await rig.service("calls", appProtocol="grpc")
    url = await rig.service("mesh-calls", appProtocol="grpc")
    for name in ("calls", "mesh-calls"):
        pod = await rig.pod(name, joined=False)
        await pod.stop()
        rig.owner.start(_grpc_server(f"{pod.ip}:9000"), name)
        await rig.slice(name)
        await admit(rig, pod)
    await rig.gateway()
    rule = {"matches": [{"method": {"service": "demo.Echo", "method": "Say"}}], "backendRefs": weights(("calls", 1))}
    body = {"parentRefs": [{"name": "web"}], "rules": [rule]}
    meta = {"name": "r", "namespace": "default"}
    kind = {"apiVersion": GRPCROUTES.api_version, "kind": "GRPCRoute"}
    await rig.client.create(GRPCROUTES, {**kind, "metadata": meta, "spec": body})
    await rig.condition(GATEWAYS, "web", "Programmed")
    for target in (url.removeprefix("http://"), f"127.0.0.1:{rig.gateway_port}"):
        async with grpc.aio.insecure_channel(target) as channel:
            say = channel.unary_unary("/demo.Echo/Say")
            assert await say(b"hello", wait_for_ready=True, timeout=5) == b"hello"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.gateway_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/demo.Echo/Other")(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def _grpc_server(address: str) -> None:
    async def say(request: bytes, context: Any) -> bytes:
        return request

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(say)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("demo.Echo", {"Say": handler}),))
    server.add_insecure_port(address)
    await server.start()
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(None)


def peer_certificate(port: int) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port))
    with context.wrap_socket(plain, server_hostname="secure.example.com") as secure:
        return secure.getpeercert(binary_form=True) or b""
