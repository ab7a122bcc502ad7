"""A whole API server on a thread of its own, and kubectl pointed at it (fixture ``kube``): for tests that come as strangers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from lateen.cluster.api.auth.authenticator import Authenticator
from lateen.cluster.api.auth.kubeconfig import kubeconfig
from lateen.cluster.api.auth.pki import load_or_make
from lateen.cluster.api.auth.tokens import StaticTokens
from lateen.cluster.api.https import HttpsServer
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.user import ADMIN
from lateen.cluster.storage.memory import MemoryStorage

KUBECTL = Path(sys.executable).parent / "kubectl"


class KubeServer:
    """Start it, use ``kubectl(...)``, close it. ``token`` is the administrator's."""

    binary = KUBECTL

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = self.token = ""
        self.ca = b""
        self._loop = uvloop.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        assert self._ready.wait(20)
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - the test thread raises it
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        pki = load_or_make(self.folder / "pki", ["127.0.0.1"])
        static = StaticTokens(self.folder / "tokens.json")
        self.token, self.ca = static.add(ADMIN), pki.ca.certificate
        storage = MemoryStorage()
        async with ApiServer(storage, account_key=pki.service_account_key) as api:
            door = HttpsServer(api, authenticator=Authenticator(static, api.accounts), tls=pki.server_context())
            port = await door.start("127.0.0.1", 0)
            self.url = f"https://127.0.0.1:{port}"
            await api.publish("127.0.0.1", port)
            config = kubeconfig(name="test", server=self.url, ca=self.ca, token=self.token)
            (self.folder / "kubeconfig").write_text(config)
            self._ready.set()
            await self._stop.wait()
            await door.close(0.5)
        await storage.close()

    @property
    def environment(self) -> dict[str, str]:
        home = str(self.folder / "home")
        return {**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig"), "HOME": home, "KUBECACHEDIR": home}

    def run(self, *args: str, stdin: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """kubectl's result, whatever it is."""
        return subprocess.run(
            [str(KUBECTL), *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment | (env or {}),
            check=False,
        )

    def kubectl(self, *args: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
        """kubectl's output; it must succeed."""
        result = self.run(*args, stdin=stdin, env=env)
        assert result.returncode == 0, f"kubectl {' '.join(args)}\n{result.stdout}{result.stderr}"
        return result.stdout

    def refused(self, *args: str, stdin: str = "") -> str:
        """What kubectl says when it fails; it must fail."""
        result = self.run(*args, stdin=stdin)
        assert result.returncode != 0, f"kubectl {' '.join(args)}\n{result.stdout}"
        return result.stderr

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    """One server for a module."""
    server = KubeServer(tmp_path_factory.mktemp("kube"))
    yield server
    server.close()
