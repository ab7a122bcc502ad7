"""An embedded cluster for the length of a test: API server, controllers, scheduler and nodes in memory, without proxies.

Used by ``lateen.testing.plugin`` and by whoever wants it without pytest. Everything lies in one folder; at the end no process,
socket or address is left.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lateen.aio.clock import SystemClock
from lateen.client.client import Client
from lateen.cluster.boot import BootSettings, Cluster
from lateen.errors import FailedError
from lateen.kube.addresses import SLICES

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedCluster:
    """``client`` has every right, in process; ``kubeconfig`` is a file for kubectl and any other client; ``images`` is the OCI
    layout that nodes take images from."""

    client: Client
    kubeconfig: Path
    server: str
    images: Path

    async def eventually(self, what: Callable[[], Awaitable[T]], *, seconds: float = 10.0) -> T:
        """The first true result of ``what``, asked again and again. TimeoutError with the last result."""
        clock = SystemClock()
        end = clock.monotonic() + seconds
        while not (found := await what()):
            if clock.monotonic() > end:
                raise TimeoutError(f"not in {seconds:g} s; last: {found!r}")
            await clock.sleep(0.02)
        return found


@asynccontextmanager
async def embedded_cluster(folder: Path, *, nodes: int = 0, fake_nodes: int = 1) -> AsyncIterator[EmbeddedCluster]:
    """A cluster with all its files in ``folder``. ``nodes`` run pods as processes, ``fake_nodes`` only say that they do.

    FailedError when every address slice of the machine is in use.
    """
    with _slice() as number, _sockets() as sockets:
        settings = BootSettings(
            name="test",
            folder=folder / "cluster",
            images=folder / "images",
            socket=lambda purpose: sockets / purpose,
            slice=number,
            nodes=[f"node-{i}" for i in range(nodes)],
            fake_nodes=fake_nodes,
            durable=False,
        )
        cluster = Cluster(settings, SystemClock())
        try:
            await cluster.start_api()
            await cluster.start_nodes()
            yield EmbeddedCluster(
                client=cluster.client,
                kubeconfig=settings.folder / "kubeconfig",
                server=cluster.server,
                images=settings.images,
            )
        finally:
            await cluster.stop(seconds=1.0)


@contextmanager
def _slice() -> Iterator[int]:
    """A slice of 127.0.0.0/8 that no other cluster of this machine uses, leased as running clusters lease theirs."""
    with socket.socket(socket.AF_UNIX) as lease:
        for i in range(SLICES):
            number = (os.getpid() + i) % SLICES
            try:
                lease.bind(f"\0lateen-slice-{number}")
            except OSError:
                continue
            yield number
            return
        raise FailedError(f"all {SLICES} address slices of this machine are in use: stop a cluster")


@contextmanager
def _sockets() -> Iterator[Path]:
    """A folder with a short path: a Unix socket's path has 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="lateen-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
