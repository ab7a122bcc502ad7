"""One POST of JSON to a webhook, wherever it is. Used by admission and by conversion."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lateen.aio.tasks import within
from lateen.cluster.api.call import Backend
from lateen.cluster.api.outward.targets import ServicePort, dial
from lateen.cluster.api.outward.tls import Trust, secured
from lateen.cluster.api.streaming.http import Ask, exchange
from lateen.cluster.api.streaming.seam import Connection
from lateen.errors import LateenError


class PostError(Exception):
    """There was no answer, or none that means success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a webhook is: a Service's port, or a URL."""

    target: ServicePort | None
    url: str = ""
    path: str = "/"
    bundle: str = ""
    timeout: float = 10.0

    def __str__(self) -> str:
        where = self.url if self.target is None else f"https://{self.target.host}:{self.target.port}{self.path}"
        return f"{where}?timeout={self.timeout:g}s"


def place_of(client: Mapping[str, Any], timeout: float) -> Place:
    """A clientConfig."""
    service = client.get("service")
    bundle, url = str(client.get("caBundle") or ""), str(client.get("url") or "")
    if not service:
        return Place(target=None, url=url, bundle=bundle, timeout=timeout)
    target = ServicePort(str(service.get("namespace")), str(service.get("name")), int(service.get("port") or 443))
    path = "/" + str(service.get("path") or "").lstrip("/")
    return Place(target=target, path=path, bundle=bundle, timeout=timeout)


async def post(backend: Backend, place: Place, body: bytes, *, agent: str) -> bytes:
    """The answer's body. PostError, in the words of client-go."""
    try:
        status, raw = await within(place.timeout, _post(backend, place, body, agent))
    except TimeoutError as error:
        raise PostError(f'Post "{place}": context deadline exceeded') from error
    except (OSError, ValueError, EOFError, asyncio.LimitOverrunError, LateenError) as error:
        raise PostError(f'Post "{place}": {error}') from error
    if not 200 <= status < 300:
        text = raw[:200].decode(errors="replace").strip()
        raise PostError(f"the server rejected our request: {status} {text}".rstrip())
    return raw


async def _post(backend: Backend, place: Place, body: bytes, agent: str) -> tuple[int, bytes]:
    (reader, writer), host, path = await _connected(backend, place)
    try:
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*", "User-Agent": agent}
        target = f"{path}?timeout={place.timeout:g}s"
        found = await exchange(reader, writer, Ask(method="POST", target=target, host=host, headers=headers, body=body))
        return found.status, b"".join([part async for part in found.body])
    finally:
        writer.close()


async def _connected(backend: Backend, place: Place) -> tuple[Connection, str, str]:
    """(connection, host, path)."""
    trust = Trust(bundle=place.bundle)
    if place.target is not None:
        plain = await dial(backend, place.target)
        return await secured(plain, trust, place.target.host), place.target.host, place.path
    url = urlsplit(place.url)
    host = url.hostname or ""
    plain = await asyncio.open_connection(host, url.port or 443)
    return await secured(plain, trust, host), url.netloc, url.path or "/"
