"""The API server of bench_api: its own process, SQLite on the scratch disk, HTTPS with a bearer token. Prints its port.

``python -m bench.apiserver FOLDER TOKEN`` serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

import uvloop

from bench.harness import self_signed
from lateen.cluster.api.https import HttpsServer
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN, UserInfo
from lateen.cluster.storage.sqlite import SqliteStorage
from lateen.errors import UnauthorizedError


class OneToken:
    """Knows one token: the administrator's."""

    def __init__(self, token: str) -> None:
        self._token = token

    def authenticate(self, *, token: str, certificate: bytes | None) -> UserInfo | None:
        if token != self._token:
            raise UnauthorizedError("Unauthorized")
        return ADMIN


async def serve(folder: Path, token: str) -> None:
    certificate, key = self_signed()
    (folder / "cert.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    store = SqliteStorage.open(folder / "state.db")
    async with ApiServer(store) as api:
        server = HttpsServer(api, authenticator=OneToken(token), tls=tls)
        print(await server.start("127.0.0.1", 0), flush=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.read)
        await server.close()
    await store.close()


if __name__ == "__main__":
    if profile := sys.argv[3:]:
        import cProfile

        profiler = cProfile.Profile()
        profiler.enable()
    uvloop.run(serve(Path(sys.argv[1]), sys.argv[2]))
    if profile:
        profiler.disable()
        profiler.dump_stats(profile[0])
