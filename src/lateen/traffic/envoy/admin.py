"""Ask a proxy about itself, over its admin socket. The socket can stop the proxy, so it lies in a folder of this user only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import aiohttp
from yarl import URL

from lateen.errors import TransportError


class Admin:
    """The admin interface of one proxy."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str) -> bytes:
        """TransportError when the proxy does not answer."""
        return await self._ask("GET", path)

    async def post(self, path: str) -> bytes:
        """TransportError when the proxy does not answer."""
        return await self._ask("POST", path)

    async def _ask(self, method: str, path: str) -> bytes:
        if self._session is None or self._session.closed:
            connector = aiohttp.UnixConnector(str(self._socket))
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=5))
        try:
            async with self._session.request(method, URL(f"http://admin{path}", encoded=True)) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TransportError(f"the proxy does not answer on {self._socket}: {error}") from error
        if answer.status != 200:
            raise TransportError(f"the proxy answered {answer.status} to {path}")
        return body

    async def ready(self) -> bool:
        """Whether it is up and has its first configuration."""
        try:
            return (await self.get("/ready")).strip() == b"LIVE"
        except TransportError:
            return False

    async def active(self, clusters: Iterable[str]) -> Mapping[tuple[str, str], int]:
        """(cluster, address:port) -> requests under way to that endpoint (connections, for plain TCP)."""
        found: dict[tuple[str, str], int] = {}
        # Without the filter a proxy with 1,000 services would answer with megabytes.
        names = quote(f"^({'|'.join(re.escape(c) for c in sorted(clusters))})$", safe="")
        for line in (await self.get(f"/clusters?filter={names}")).decode().splitlines():
            parts = line.split("::")
            if len(parts) == 4 and parts[2] == "rq_active":
                found[parts[0], parts[1]] = int(parts[3])
        return found

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
