"""A little HTTPS server behind a Service: what the API server calls (extension API servers, webhooks). In the test's own loop."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from lateen.client.client import Client
from lateen.cluster.api.auth.pki import make_ca, sign
from lateen.kube.resources import ENDPOINTSLICES, SERVICES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Extension:
    """Where it listens, and the caBundle that makes it trusted."""

    port: int
    bundle: str


@asynccontextmanager
async def extension(folder: Path, handler: Handler, *, host: str = "ext.default.svc") -> AsyncIterator[Extension]:
    """Serve until the context ends."""
    ca = make_ca("extension-ca")
    pair = sign(ca, host, server=True, names=[host])
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server = web.Server(handler)  # type: ignore[arg-type] # a plain function will do
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield Extension(runner.addresses[0][1], base64.b64encode(ca.certificate).decode())
    finally:
        await runner.cleanup()


async def behind_service(client: Client, port: int, *, name: str = "ext", namespace: str = "default") -> None:
    """A Service with that port of 127.0.0.1 as its endpoint."""
    meta: dict[str, Any] = {"name": name, "namespace": namespace}
    await client.create(SERVICES, {"metadata": meta, "spec": {"ports": [{"port": 443}]}})
    labels = {"kubernetes.io/service-name": name}
    endpoint = {"addresses": ["127.0.0.1"], "conditions": {"ready": True}}
    body = {"addressType": "IPv4", "endpoints": [endpoint], "ports": [{"port": port, "protocol": "TCP", "name": ""}]}
    await client.create(ENDPOINTSLICES, {"metadata": {**meta, "labels": labels}, **body})
