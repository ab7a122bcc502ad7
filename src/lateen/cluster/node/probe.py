"""One check of one probe: HTTP, TCP, exec or gRPC. Light on purpose: hundreds run every second. Messages as the kubelet words them.

Used by ``prober``. HTTP is spoken by hand over short connections: status line and headers only. Redirects are followed on the same
host; one that leads elsewhere counts as success.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

from lateen.aio.tasks import TaskOwner, gather, within
from lateen.cluster.node.seam import Connection
from lateen.errors import FailedError, LateenError

_REDIRECTS = (301, 302, 303, 307, 308)
_HOPS = 10


class Result(NamedTuple):
    """Whether the check passed, and what it said."""

    ok: bool
    message: str = ""


class Exec(Protocol):
    """Runs a command beside the container."""

    async def __call__(self, argv: Sequence[str], *, seconds: float) -> tuple[int, bytes]: ...


class Reach(Protocol):
    """Connects to an address of the node's network."""

    async def __call__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Connection: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to get at a container: its pod's address, who connects to it, who runs commands in it."""

    ip: str
    reach: Reach
    run: Exec
    agent: str = "kube-probe/1.37"


async def check(handler: Mapping[str, Any], container: Mapping[str, Any], access: Access, seconds: float) -> Result:
    """Do the check that ``handler`` (a probe or a lifecycle hook) describes, in at most ``seconds``."""
    try:
        if "httpGet" in handler:
            return await _http(handler["httpGet"], container, access, seconds)
        if "tcpSocket" in handler:
            return await _tcp(handler["tcpSocket"], container, access, seconds)
        if "exec" in handler:
            return await _exec(handler["exec"], access.run, seconds)
        if "grpc" in handler:
            return await _grpc(handler["grpc"], access, seconds)
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


async def _http(get: Mapping[str, Any], container: Mapping[str, Any], access: Access, seconds: float) -> Result:
    host, port = get.get("host") or access.ip, port_number(get["port"], container)
    scheme, path = (get.get("scheme") or "HTTP").lower(), get.get("path") or "/"
    url = f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    headers = {"user-agent": access.agent, "accept": "*/*"} | {h["name"].lower(): h["value"] for h in get.get("httpHeaders") or ()}
    try:
        code = await within(seconds, _followed(url, headers, access))
    except TimeoutError:
        return Result(False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)')
    except OSError as error:
        return Result(False, f'Get "{url}": dial tcp {host}:{port}: connect: {_plain(error)}')
    except ValueError as error:
        return Result(False, f'Get "{url}": {error}')
    if 200 <= code < 400:
        return Result(True)
    return Result(False, f"HTTP probe failed with statuscode: {code}")


async def _followed(url: str, headers: Mapping[str, str], access: Access) -> int:
    """The status code at the end of redirects on the same host."""
    for _ in range(_HOPS):
        code, location = await _answer(url, headers, access)
        target = urljoin(url, location)
        if code not in _REDIRECTS or not location or urlsplit(target).hostname != urlsplit(url).hostname:
            return code
        url = target
    raise ValueError(f"stopped after {_HOPS} redirects")


async def _answer(url: str, headers: Mapping[str, str], access: Access) -> tuple[int, str]:
    """The status code and the location that one GET is answered with."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    context = _anyone() if secure else None
    reader, writer = await access.reach(parts.hostname or access.ip, parts.port or (443 if secure else 80), context)
    try:
        given = {"host": parts.netloc, **headers, "connection": "close"}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {target} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        first = (await reader.readline()).split()
        if len(first) < 2 or not first[0].startswith(b"HTTP/") or not first[1].isdigit():
            raise ValueError("EOF" if not first else "malformed HTTP response")
        code = int(first[1])
        return code, await _location(reader) if code in _REDIRECTS else ""
    finally:
        writer.close()


async def _location(reader: asyncio.StreamReader) -> str:
    while (line := await reader.readline()).strip():
        name, _, value = line.decode(errors="replace").partition(":")
        if name.strip().lower() == "location":
            return value.strip()
    return ""


def _anyone() -> ssl.SSLContext:
    """Certificates are not verified: what is asked is whether it answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _tcp(tcp: Mapping[str, Any], container: Mapping[str, Any], access: Access, seconds: float) -> Result:
    host, port = tcp.get("host") or access.ip, port_number(tcp["port"], container)
    try:
        _, writer = await within(seconds, access.reach(host, port))
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


async def _grpc(grpc_probe: Mapping[str, Any], access: Access, seconds: float) -> Result:
    """grpc.health.v1.Health/Check, the two messages written by hand: request {1: service}, response {1: status}, 1 is SERVING."""
    import grpc  # heavy, and only few pods are probed by it

    service = (grpc_probe.get("service") or "").encode()
    request = (b"\x0a" + _varint(len(service)) + service) if service else b""
    address = f"{access.ip}:{grpc_probe['port']}"
    try:
        async with _doorway(access, int(grpc_probe["port"])) as door, grpc.aio.insecure_channel(door) as channel:
            answer: bytes = await channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        return Result(False, _grpc_words(error.code().name, error.details() or "", address, seconds))
    if answer[:2] == b"\x08\x01":
        return Result(True)
    return Result(False, 'service unhealthy (responded with "NOT_SERVING")')


def _grpc_words(code: str, details: str, address: str, seconds: float) -> str:
    if code == "UNAVAILABLE":
        return f'timeout: failed to connect service "{address}" within {seconds:g}s: context deadline exceeded'
    if code == "DEADLINE_EXCEEDED":
        return f"error: health rpc did not complete within {seconds:g}s: {details}"
    if code == "UNIMPLEMENTED":
        return f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {details}"
    camel = "".join(word.capitalize() for word in code.split("_"))
    return f"error: health rpc probe failed: rpc error: code = {camel} desc = {details}"


def _varint(number: int) -> bytes:
    """As protobuf writes a length."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


@asynccontextmanager
async def _doorway(access: Access, port: int) -> AsyncIterator[str]:
    """An address that grpc can dial, which leads to the pod: its sockets are its own, and the pod may be on another network."""
    async with TaskOwner("grpc probe", on_error=lambda *_: None) as owner:

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                to_reader, to_writer = await access.reach(access.ip, port)
            except OSError:
                writer.close()
                return
            await gather((_copy(reader, to_writer), _copy(to_reader, writer)))

        with tempfile.TemporaryDirectory(prefix="lateen-") as folder:
            path = f"{folder}/grpc"
            server = await asyncio.start_unix_server(lambda r, w: owner.start(carry(r, w), "relay") and None, path)
            try:
                yield f"unix:{path}"
            finally:
                server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
    finally:
        writer.close()
