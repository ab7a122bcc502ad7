"""One check of one probe: HTTP, TCP, exec or gRPC. Light on purpose: hundreds run every second. Messages as the kubelet words them.

Used by ``prober``. HTTP is spoken by hand over one short connection: status line only, redirects count as success.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from lateen.aio.tasks import within
from lateen.errors import FailedError, LateenError


class Result(NamedTuple):
    """Whether the check passed, and what it said."""

    ok: bool
    message: str = ""


class Exec(Protocol):
    """Runs a command beside the container."""

    async def __call__(self, argv: Sequence[str], *, seconds: float) -> tuple[int, bytes]: ...


async def check(handler: Mapping[str, Any], container: Mapping[str, Any], ip: str, run: Exec, seconds: float) -> Result:
    """Do the check that ``handler`` (a probe or a lifecycle hook) describes, in at most ``seconds``."""
    try:
        if "httpGet" in handler:
            return await _http(handler["httpGet"], container, ip, seconds)
        if "tcpSocket" in handler:
            return await _tcp(handler["tcpSocket"], container, ip, seconds)
        if "exec" in handler:
            return await _exec(handler["exec"], run, seconds)
        if "grpc" in handler:
            return await _grpc(handler["grpc"], ip, seconds)
    except FailedError as error:
        return Result(False, str(error))
    except LateenError as error:
        return Result(False, f"probe could not be run: {error}")
    return Result(False, "missing probe handler")


def port_number(port: int | str, container: Mapping[str, Any]) -> int:
    """A port by number or by its name in the container. FailedError."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise FailedError(f"couldn't find port: {port}")


async def _http(get: Mapping[str, Any], container: Mapping[str, Any], ip: str, seconds: float) -> Result:
    host, port = get.get("host") or ip, port_number(get["port"], container)
    secure = (get.get("scheme") or "HTTP").upper() == "HTTPS"
    path = get.get("path") or "/"
    url = f"{'https' if secure else 'http'}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    try:
        code = await within(seconds, _status(host, port, path, get.get("httpHeaders") or (), _anyone() if secure else None))
    except TimeoutError:
        return Result(False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)')
    except OSError as error:
        return Result(False, f'Get "{url}": dial tcp {host}:{port}: connect: {_plain(error)}')
    except ValueError as error:
        return Result(False, f'Get "{url}": {error}')
    if 200 <= code < 400:
        return Result(True)
    return Result(False, f"HTTP probe failed with statuscode: {code}")


async def _status(host: str, port: int, path: str, headers: Sequence[Mapping[str, str]], context: ssl.SSLContext | None) -> int:
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        given = {"host": f"{host}:{port}", "user-agent": "kube-probe/1.37", "accept": "*/*", "connection": "close"}
        given |= {h["name"].lower(): h["value"] for h in headers}
        lines = [f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        first = (await reader.readline()).split()
        if len(first) < 2 or not first[0].startswith(b"HTTP/") or not first[1].isdigit():
            raise ValueError("EOF" if not first else "malformed HTTP response")
        return int(first[1])
    finally:
        writer.close()


def _anyone() -> ssl.SSLContext:
    """Certificates are not verified: what is asked is whether it answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _tcp(tcp: Mapping[str, Any], container: Mapping[str, Any], ip: str, seconds: float) -> Result:
    host, port = tcp.get("host") or ip, port_number(tcp["port"], container)
    try:
        _, writer = await within(seconds, asyncio.open_connection(host, port))
    except TimeoutError:
        return Result(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Result(False, f"dial tcp {host}:{port}: connect: {_plain(error)}")
    writer.close()
    return Result(True)


def _plain(error: OSError) -> str:
    text = error.strerror or str(error)
    return "connection refused" if isinstance(error, ConnectionRefusedError) else text.lower()


async def _exec(command: Mapping[str, Any], run: Exec, seconds: float) -> Result:
    code, output = await run(command["command"], seconds=seconds)
    return Result(code == 0, output[:10240].decode(errors="replace"))


async def _grpc(grpc_probe: Mapping[str, Any], ip: str, seconds: float) -> Result:
    """grpc.health.v1.Health/Check, the two messages written by hand: request {1: service}, response {1: status}, 1 is SERVING."""
    import grpc  # heavy, and only few pods are probed by it

    service = (grpc_probe.get("service") or "").encode()
    request = (b"\x0a" + bytes([len(service)]) + service) if service else b""
    address = f"{ip}:{grpc_probe['port']}"
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            answer: bytes = await channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        return Result(False, f'error: rpc to "{address}" failed: {error.code().name}: {error.details()}')
    if answer[:2] == b"\x08\x01":
        return Result(True)
    return Result(False, 'service unhealthy (responded with "NOT_SERVING")')
