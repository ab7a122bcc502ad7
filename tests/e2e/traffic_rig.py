"""A rig for traffic tests: an API server in process, real Envoys owned by a real shim, small backends in this process."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lateen.aio.clock import SystemClock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import InformerSet
from lateen.client.inprocess import InProcessTransport
from lateen.cluster.api.registry import Served
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.storage.memory import MemoryStorage
from lateen.errors import AlreadyExistsError, NotFoundError
from lateen.kube.meta import Object, condition_true
from lateen.kube.resources import (
    ENDPOINTSLICES,
    GATEWAYCLASSES,
    GATEWAYS,
    GRPCROUTES,
    HTTPROUTES,
    NAMESPACES,
    PODS,
    REFERENCEGRANTS,
    SECRETS,
    SERVICES,
    Resource,
)
from lateen.shim.client import ShimClient
from lateen.traffic.controller import Traffic
from lateen.traffic.settings import TrafficSettings

GATEWAY_API = "gateway.networking.k8s.io/v1"


@dataclass
class Pod:
    """A backend: an HTTP server in this process with a pod's identity."""

    name: str
    ip: str
    runner: web.AppRunner
    object: Object
    delay: float = 0.0
    begun: int = 0
    served: int = 0
    alive: bool = True
    state: dict[str, Any] = field(default_factory=lambda: {"ready": False, "serving": True, "terminating": False})

    async def stop(self) -> None:
        if self.alive:
            self.alive = False
            await self.runner.cleanup()


class Rig:
    """Everything; ``net`` is a random /24 pair so that two runs at once do not meet."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp, self.clock = tmp_path, SystemClock()
        block = random.Random(os.urandom(8)).randrange(1, 250)
        self.services, self.pods_net = IPv4Network(f"127.200.{block}.0/24"), f"127.201.{block}"
        self.storage = MemoryStorage()
        self.api = ApiServer(self.storage, service_network=self.services)
        self.client = Client(InProcessTransport(self.api.handler_for(ADMIN)))
        self.short = Path("/tmp") / f"lt-{os.getpid()}-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
        self.shim = ShimClient(folder=tmp_path / "shim", socket=self.path("shim"), name="system", clock=self.clock)
        self.gateway_port = free_port()
        self.pods: dict[str, Pod] = {}
        self.owner = TaskOwner("rig")
        self.traffic: Traffic
        self.http: aiohttp.ClientSession

    def path(self, purpose: str) -> Path:
        return self.short.with_name(f"{self.short.name}-{purpose}")

    async def start_traffic(self) -> Traffic:
        informers = InformerSet(self.client, self.clock)
        informers.start(self.owner)
        settings = TrafficSettings(
            folder=self.tmp / "envoy",
            sockets=self.path("envoy"),
            gateway_ports={80: self.gateway_port},
            gateway_network=f"{self.pods_net}.128/25",
            concurrency=1,
        )
        self.traffic = Traffic(self.client, informers, self.shim, settings, self.clock)
        await self.traffic.start()
        return self.traffic

    async def service(self, name: str, port: int = 8000, **more: Any) -> str:
        """A Service; its address."""
        entry = {"name": "http", "port": port, "targetPort": 9000, "appProtocol": "http", **more}
        spec = {"selector": {"app": name}, "ports": [entry]}
        obj = await self.client.create(
            SERVICES, {"metadata": {"name": name, "namespace": "default"}, "spec": spec, **kind(SERVICES)}
        )
        return f"http://{obj['spec']['clusterIP']}:{port}"

    async def pod(self, app: str, *, delay: float = 0.0, joined: bool = True) -> Pod:
        """A running pod of ``app``, in its EndpointSlice unless told otherwise."""
        number = len(self.pods) + 1
        name, ip = f"{app}-{number}", f"{self.pods_net}.{number}"
        spec = {"containers": [{"name": "c", "image": "none"}]}
        meta = {"name": name, "namespace": "default", "labels": {"app": app}}
        obj = await self.client.create(PODS, {**kind(PODS), "metadata": meta, "spec": spec})
        pod = Pod(name, ip, await self._serve(name, ip), obj, delay)
        self.pods[name] = pod
        if joined:
            await self.slice(app)
        return pod

    async def _serve(self, name: str, ip: str) -> web.AppRunner:
        async def answer(request: web.Request) -> web.Response:
            pod = self.pods[name]
            pod.begun += 1
            await asyncio.sleep(pod.delay)
            pod.served += 1
            return web.json_response({"pod": name, "path": request.path_qs, "headers": dict(request.headers)})

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, keepalive_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, ip, 9000).start()
        return runner

    async def slice(self, app: str) -> None:
        """Write the EndpointSlice of ``app`` as its pods are."""
        mine = [p for p in self.pods.values() if p.object["metadata"]["labels"]["app"] == app and p.state]
        endpoints = [
            {
                "addresses": [p.ip],
                "conditions": dict(p.state),
                "targetRef": {"kind": "Pod", "name": p.name, "uid": p.object["metadata"]["uid"]},
            }
            for p in mine
        ]
        obj = {
            **kind(ENDPOINTSLICES),
            "metadata": {"name": f"{app}-1", "namespace": "default", "labels": {"kubernetes.io/service-name": app}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 9000, "protocol": "TCP"}],
            "endpoints": endpoints,
        }
        try:
            await self.client.update(ENDPOINTSLICES, obj)
        except NotFoundError:
            await self.client.create(ENDPOINTSLICES, obj)

    async def gateway(self, *listeners: Object, name: str = "web") -> None:
        entries = list(listeners) or [{"name": "http", "port": 80, "protocol": "HTTP"}]
        spec = {"gatewayClassName": "lateen", "listeners": entries}
        await self.client.create(GATEWAYS, {**kind(GATEWAYS), "metadata": {"name": name, "namespace": "default"}, "spec": spec})

    async def route(self, name: str, *rules: Object, parent: str = "web", **spec: Any) -> None:
        body = {"parentRefs": [{"name": parent}], "rules": list(rules), **spec}
        meta = {"name": name, "namespace": "default"}
        await self.client.create(HTTPROUTES, {**kind(HTTPROUTES), "metadata": meta, "spec": body})

    async def certificate(self, name: str, hostname: str) -> None:
        """A Secret with a new self-signed certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)])
        now = self.clock.now()
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .sign(key, hashes.SHA256())
        )
        pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        data = {"tls.crt": made.public_bytes(pem), "tls.key": key.private_bytes(pem, pkcs8, plain)}
        obj = {
            **kind(SECRETS),
            "metadata": {"name": name, "namespace": "default"},
            "type": "kubernetes.io/tls",
            "data": {k: base64.b64encode(v).decode() for k, v in data.items()},
        }
        try:
            await self.client.create(SECRETS, obj)
        except AlreadyExistsError:
            await self.client.patch(SECRETS, name, {"data": obj["data"]}, namespace="default")

    async def get(self, url: str, **more: Any) -> tuple[int, Any]:
        async with self.http.get(url, allow_redirects=False, **more) as answer:
            body = await answer.read()
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else body.decode()

    async def until(self, url: str, status: int = 200, seconds: float = 5.0, **more: Any) -> Any:
        """The body, once the answer is ``status``."""
        deadline = time.monotonic() + seconds
        last: Any = None
        while time.monotonic() < deadline:
            try:
                last = await self.get(url, **more)
                if last[0] == status:
                    return last[1]
            except aiohttp.ClientError as error:
                last = error
            await asyncio.sleep(0.005)
        raise AssertionError(f"{url} did not answer {status}: {last}")

    async def eventually(self, check: Callable[[], Any], seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, "it did not become so"
            await asyncio.sleep(0.005)

    async def condition(self, resource: Resource, name: str, wanted: str, seconds: float = 5.0) -> Object:
        """The object, once its condition is True."""
        deadline = time.monotonic() + seconds
        while True:
            obj = await self.client.get(resource, name, "default")
            if condition_true(obj, wanted):
                return obj
            assert time.monotonic() < deadline, obj.get("status")
            await asyncio.sleep(0.01)


def kind(resource: Resource) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def serve_gateway_kinds(api: ApiServer) -> None:
    """Until the API server carries CustomResourceDefinitions out."""
    for resource in (GATEWAYCLASSES, GATEWAYS, HTTPROUTES, GRPCROUTES, REFERENCEGRANTS):
        if api.backend.registry.find(resource.group, resource.version, resource.plural) is None:
            collection = f"{resource.group}/{resource.plural}"
            api.backend.registry.add(Served(resource=resource, stored=resource, collection=collection, custom=True))


@asynccontextmanager
async def rig_for(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    async with rig.api, aiohttp.ClientSession() as rig.http:
        serve_gateway_kinds(rig.api)
        await _namespace(rig)
        await rig.shim.connect()
        try:
            await rig.start_traffic()
            yield rig
        finally:
            await rig.traffic.stop(keep_envoys=True)
            await rig.owner.close()
            for pod in rig.pods.values():
                await pod.stop()
            await rig.shim.stop(seconds=0)
            await rig.shim.close()
            for purpose in ("shim", "envoy-xds", "envoy-mesh", "envoy-edge"):
                rig.path(purpose).unlink(missing_ok=True)
    await rig.storage.close()


async def _namespace(rig: Rig) -> None:
    names = [o["metadata"]["name"] for o in (await rig.client.list(NAMESPACES)).items]
    if "default" not in names:
        await rig.client.create(NAMESPACES, {**kind(NAMESPACES), "metadata": {"name": "default"}})


def weights(*pairs: tuple[str, int], port: int = 8000) -> Sequence[Object]:
    return [{"name": name, "port": port, "weight": weight} for name, weight in pairs]
