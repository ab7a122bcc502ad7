"""The daemon's side of a cluster's network keeper (``netns``): start it or find it, ask it, get sockets from inside.

Used by ``cluster.node.networks.netns`` and by the server, which says who lives in the namespaces (``pid``).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lateen.aio.clock import Clock
from lateen.errors import FailedError, LateenError, TransportError
from lateen.shim.client import Process, ShimClient, Spawn

log = logging.getLogger(__name__)
ID = "network"
_PACKAGES = str(Path(__file__).resolve().parents[2])
_START = f"import sys; sys.path.insert(0, {_PACKAGES!r}); from lateen.shim.netns import main; main()"
_SECONDS, _AGAIN = 10.0, 1.0
_SPARE = 32  # sockets that are asked for together
_Socket = socket.socket
_Answer = tuple[dict[str, Any], list[int]]


class NetworkClient:
    """``shim`` owns the keeper. ``rejoin`` gives pids of processes that may live in the namespaces of a keeper that was killed.
    Methods raise FailedError with the kernel's reason, TransportError when the keeper is lost."""

    def __init__(
        self, shim: ShimClient, *, folder: Path, socket: Path, clock: Clock, rejoin: Callable[[], Sequence[int]] = tuple
    ) -> None:
        self.folder, self.socket, self._shim, self._clock, self._rejoin = folder, socket, shim, clock, rejoin
        self._wire: _Socket | None = None
        self._asked: deque[asyncio.Future[_Answer]] = deque()
        self._starting, self._lost = asyncio.Lock(), asyncio.Event()
        self._plan: dict[str, Any] | None = None
        self._ready = False
        self._spare: list[int] = []  # descriptors of fresh TCP sockets in the cluster's network: every probe takes one

    @property
    def pid(self) -> int:
        """The keeper's: whoever shall live in the cluster's namespaces enters this one's. TransportError while there is none, or
        one that has not said yet that it is in there: it begins its life outside."""
        known = self._shim.processes().get(ID)
        if known is None or not known.alive or not self._ready:
            raise TransportError("the network's keeper is gone")
        return known.pid

    def place(self) -> str:
        """Names the network: one that was made anew has another name. OSError, TransportError while there is no keeper."""
        return str(Path(f"/proc/{self.pid}/ns/net").readlink())

    async def run(self) -> None:
        """Keep it running until cancelled."""
        while True:
            try:
                await self.start()
                self._lost.clear()
                if self._wire is not None:
                    await self._lost.wait()
            except LateenError as error:
                log.error("%s", error)
                await self._clock.sleep(_AGAIN)

    async def set_up(self, **plan: Any) -> None:
        """Start, with the bridge and addresses of ``plan`` (see ``netns.Keeper.setup``); every later keeper gets them too."""
        self._plan = plan
        if self._wire is None:
            await self.start()
        else:
            await self._send("setup", plan)

    async def start(self) -> None:
        """The keeper runs and answers. FailedError says why the kernel does not allow it."""
        async with self._starting:
            if self._wire is not None:
                return
            await self._shim.connect()
            known = self._shim.processes().get(ID)
            if known is None or not known.alive:
                await self._spawn(self._rejoin())
            self._connect()
            if self._plan is not None:
                await self._send("setup", self._plan)
            self._ready = True

    async def _spawn(self, rejoin: Sequence[int]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        log = self.folder / "network.log"
        log.unlink(missing_ok=True)
        argv = [sys.executable, "-I", "-S", "-c", _START, "--socket", str(self.socket), "--folder", str(self.folder / "pods")]
        argv += ["--rejoin", *map(str, rejoin)]
        if ID in self._shim.processes():
            await self._shim.forget(ID)
        process = await self._shim.spawn(Spawn(id=ID, argv=argv, env=_environment(), log=log))
        deadline = self._clock.monotonic() + _SECONDS
        while not self.socket.exists():
            process = self._shim.processes()[ID]
            if not process.alive or self._clock.monotonic() > deadline:
                raise FailedError(_why(process, log))
            await self._clock.sleep(0.003)

    def _connect(self) -> None:
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            wire.connect(str(self.socket))  # local, and there: at once
        except OSError as error:
            wire.close()
            raise TransportError(f"the network's keeper does not answer: {error.strerror}") from error
        wire.setblocking(False)
        self._wire = wire
        asyncio.get_running_loop().add_reader(wire, self._readable)

    def _readable(self) -> None:
        assert self._wire is not None
        try:
            data, handles, _, _ = socket.recv_fds(self._wire, 1 << 16, _SPARE)
        except BlockingIOError:
            return
        except OSError:
            data, handles = b"", []
        if not data:
            self.close()
            return
        future = self._asked.popleft()
        if future.done():  # who asked has gone
            for handle in handles:
                os.close(handle)
        else:
            future.set_result((json.loads(data), handles))

    async def ask(self, do: str, **arguments: Any) -> tuple[Any, list[int]]:
        """The result of a request, with the descriptors that came along."""
        await self.start()
        return await self._send(do, arguments)

    async def _send(self, do: str, arguments: dict[str, Any]) -> tuple[Any, list[int]]:
        if self._wire is None:
            raise TransportError("the network's keeper is gone")
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        try:
            self._wire.send(json.dumps({"do": do, **arguments}).encode())
        except OSError as error:
            raise TransportError(f"the network's keeper does not answer: {error.strerror}") from error
        self._asked.append(future)
        answer, handles = await future
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer["result"], handles

    async def open(self, kind: str = "tcp", *, pod: str = "", bind: tuple[str, int] | None = None) -> _Socket:
        """A socket that lives in a pod's network, or in the cluster's, where all pods and Services can be reached. ``kind`` is tcp
        or udp; with ``bind`` it is bound, and listens if tcp. It does not block."""
        if pod or kind != "tcp" or bind is not None:
            _, handles = await self.ask("socket", pod=pod, kind=kind, bind=bind, count=1)
            return _own(handles[0])
        if not self._spare:
            _, handles = await self.ask("socket", pod="", kind="tcp", bind=None, count=_SPARE)
            self._spare += handles
        return _own(self._spare.pop())

    def close(self) -> None:
        """Let go; the network stays."""
        self._ready = False
        if self._wire is not None:
            asyncio.get_running_loop().remove_reader(self._wire)
            self._wire.close()
            self._wire = None
            self._lost.set()
        while self._spare:
            os.close(self._spare.pop())
        asked, self._asked = self._asked, deque()
        for future in asked:
            if not future.done():
                future.set_exception(TransportError("the network's keeper is gone"))


def _own(handle: int) -> _Socket:
    made = socket.socket(fileno=handle)
    made.setblocking(False)
    os.set_inheritable(handle, False)
    return made


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}


def _why(process: Process, log: Path) -> str:
    try:
        said = log.read_text(errors="replace").strip()
    except OSError:
        said = ""
    return said.splitlines()[-1] if said else process.message or "the network's keeper does not start"
