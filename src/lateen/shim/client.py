"""The daemon's side of a shim: start it or find it, ask it, hear of every end. Used by cluster.node and server (for Envoy).

Several clients may be connected to one shim. A client that is closed, or whose daemon was killed, changes nothing for the
processes. A connection that breaks is made again (with a new shim, if the old one was killed) by the next request or wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson

from lateen.aio.clock import Clock
from lateen.errors import FailedError, TransportError
from lateen.shim import BUSY

_PACKAGES = str(Path(__file__).resolve().parents[2])
# -I -S keep site-packages out: less memory, and nothing there can break the process that owns all others.
_START = f"import sys; sys.path.insert(0, {_PACKAGES!r}); from lateen.shim.main import main; main()"

_ENV = {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}  # what an interpreter may need to start at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What the shim knows of one process. ``exit_code`` is None while it lives, 128 + n when signal n ended it, 137 with reason
    ContainerStatusUnknown when nobody saw the end. ``reason``: Completed, Error, StartError, NodeStopped (the shim was stopped),
    ContainerStatusUnknown."""

    id: str
    pid: int
    started_at: str
    finished_at: str
    exit_code: int | None
    reason: str = ""
    message: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.exit_code is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """A process to start. ``mounts`` (source, target, read-only) give it a view of the file system of its own, and
    with it ``hostname``.

    ``layers`` (source, target, folder for changes) are laid over it copy-on-write, read-only where the kernel cannot. ``base`` is
    the root folder the view starts from, default the host's. ``log`` receives stdout and stderr, raw. ``stdin`` keeps a pipe open
    to it, ``terminal`` gives it one: see ``ShimClient.input``. ``netns`` is a file that stands for the network namespace to start
    in; ``within`` the pid of a process whose user, mount and network namespaces it enters first.

    With ``pid_file`` ``argv`` is a launcher: it starts the process, leaves its pid there and ends; when it fails, the last line of
    the file ``problems`` says why. ``stage`` and ``sandbox`` are what ``shim.stage`` makes before it starts.
    """

    id: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    cwd: str = "/"
    uid: int | None = None
    gid: int | None = None
    groups: Sequence[int] = ()
    umask: int = 0o022
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    oom_score_adj: int | None = None
    cgroups: Sequence[Path] = ()
    mounts: Sequence[tuple[str, str, bool]] | None = None
    layers: Sequence[tuple[str, str, str]] = ()
    base: Path | None = None
    hostname: str = ""
    stdin: bool = False
    terminal: bool = False
    netns: Path | None = None
    within: int = 0
    pid_file: Path | None = None
    problems: Path | None = None
    stage: Sequence[Mapping[str, str]] | None = None
    sandbox: Mapping[str, Any] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """As the shim reads it."""
        spec: dict[str, Any] = {
            "id": self.id,
            "argv": list(self.argv),
            "env": dict(self.env),
            "log": str(self.log),
            "cwd": self.cwd,
            "uid": self.uid,
            "gid": self.gid,
            "groups": list(self.groups),
            "umask": self.umask,
            "rlimits": dict(self.rlimits),
            "oom_score_adj": self.oom_score_adj,
            "cgroups": [str(c) for c in self.cgroups],
            "stdin": self.stdin,
            "terminal": self.terminal,
            "netns": str(self.netns) if self.netns else None,
            "within": self.within,
            "stage": self.stage,
            "sandbox": self.sandbox,
            "labels": dict(self.labels),
        }
        if self.pid_file is not None:
            spec |= {"pid_file": str(self.pid_file), "problems": str(self.problems or "")}
        if self.mounts is not None:
            mounts: list[dict[str, Any]] = [{"source": s, "target": t, "read_only": ro} for s, t, ro in self.mounts]
            mounts += [{"source": s, "target": t, "upper": u} for s, t, u in self.layers]
            spec["view"] = {"mounts": mounts, "base": str(self.base) if self.base else None, "hostname": self.hostname}
        return spec


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a short command: 126 when it could not be started, 124 when it was killed for being late."""

    exit_code: int
    output: str
    timed_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnd:
    """The end of a command on the caller's own descriptors. ``problem`` says why it could not be started (126)."""

    exit_code: int
    problem: str = ""


class _Wire(asyncio.Protocol):
    """One connection: splits lines, keeps the promises of the requests under way."""

    def __init__(self, heard_end: Callable[[Process], None], lost: Callable[[_Wire], None]) -> None:
        self._heard_end, self._lost = heard_end, lost
        self._transport: asyncio.WriteTransport | None = None
        self._incoming, self._number = b"", 0
        self._asked: dict[int, asyncio.Future[Any]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's transports are not of asyncio's classes

    def data_received(self, data: bytes) -> None:
        *lines, self._incoming = (self._incoming + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, message: Mapping[str, Any]) -> None:
        if "exit" in message:
            self._heard_end(Process(**message["exit"]))
            return
        future = self._asked.pop(message["n"], None)
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(FailedError(message["error"]))
        else:
            future.set_result(message["result"])

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for future in self._asked.values():
            if not future.done():
                future.set_exception(TransportError("the shim closed the connection"))
        self._asked.clear()
        self._lost(self)

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, do: str, **arguments: Any) -> Any:
        if self._transport is None:
            raise TransportError("the shim is gone")
        self._number += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[self._number] = future
        self._transport.write(orjson.dumps({"n": self._number, "do": do, **arguments}) + b"\n")
        return await future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class ShimClient:
    """A connection to one shim, which is started when there is none. Every method raises TransportError when it is lost in the
    middle (all requests are idempotent: ask again), FailedError when the shim refuses or cannot be started."""

    def __init__(self, *, folder: Path, socket: Path, name: str, clock: Clock, within: Callable[[], int] = lambda: 0) -> None:
        """``within`` gives the pid of a process in whose namespaces a shim that has to be started shall live (0: ours)."""
        self.folder, self.socket, self.name, self._clock, self._within = folder, socket, name, clock, within
        self.can_view = False
        self.pid = 0
        self._wire: _Wire | None = None
        self._processes: dict[str, Process] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._handlers: list[Callable[[Process], None]] = []
        self._connecting = asyncio.Lock()
        self._stopped = False

    async def connect(self) -> None:
        """Connect, starting the shim if none answers; learn what it owns. Nothing happens when connected."""
        async with self._connecting:
            if not self.connected:
                if self._stopped:
                    raise TransportError(f"the shim {self.name} was stopped")
                await self._connect()

    async def _connect(self) -> None:
        wire, hello = await self._greet()
        self.can_view, self.pid, self._wire = hello["can_view"], hello["pid"], wire
        known, self._processes = self._processes, {r["id"]: Process(**r) for r in hello["processes"]}
        for process in self._processes.values():
            if not process.alive and (process.id not in known or known[process.id].alive):
                self._ended(process)
        for name in [n for n in self._waiters if n not in self._processes]:
            self._wake(name)

    async def _greet(self) -> tuple[_Wire, dict[str, Any]]:
        """A connection that answers; a dying shim may accept one that it never serves."""
        for _ in range(5):
            wire = await self._reach()
            try:
                return wire, await wire.ask("hello")
            except TransportError:
                await self._clock.sleep(0.05)
        raise TransportError(f"the shim {self.name} does not answer")

    async def _reach(self) -> _Wire:
        for _ in range(100):
            try:
                made = await asyncio.get_running_loop().create_unix_connection(
                    lambda: _Wire(self._ended, self._lost), str(self.socket)
                )
                return made[1]
            except (FileNotFoundError, ConnectionRefusedError):
                code = await asyncio.to_thread(self._start)
                if code == BUSY:
                    await self._clock.sleep(0.02)
                elif code != 0:
                    break
        raise FailedError(f"the shim {self.name} cannot be started; see {self.folder / 'shim.log'}")

    def _start(self) -> int:
        """Start a shim; it listens when the starting process ends with 0."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv = [sys.executable, "-I", "-S", "-c", _START]
        argv += ["--dir", str(self.folder), "--socket", str(self.socket), "--name", self.name, "--within", str(self._within())]
        with (self.folder / "shim.log").open("ab") as log:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/", env=_ENV, check=False
            )
        return done.returncode

    def _ended(self, process: Process) -> None:
        self._processes[process.id] = process
        self._wake(process.id)
        for handler in self._handlers:
            handler(process)

    def _wake(self, name: str) -> None:
        for waiter in self._waiters.pop(name, []):
            if not waiter.done():
                waiter.set_result(None)

    def _lost(self, wire: _Wire) -> None:
        if self._wire is not wire:
            return
        self._wire = None
        for name in list(self._waiters):
            self._wake(name)

    @property
    def connected(self) -> bool:
        """Whether the shim is there to be asked."""
        return self._wire is not None and self._wire.open

    def subscribe(self, handler: Callable[[Process], None]) -> None:
        """Call ``handler`` with every process that ends from now on (also with one that ended while the connection was down)."""
        self._handlers.append(handler)

    def processes(self) -> Mapping[str, Process]:
        """Every process the shim knows, alive or ended and not yet forgotten, by id."""
        return self._processes

    async def spawn(self, spawn: Spawn) -> Process:
        """Start a process, or find the one with this id. One that could not be started has ended with reason StartError."""
        process = Process(**await self._ask("spawn", spec=spawn.wire()))
        known = self._processes.get(process.id)
        if known is None or known.alive:  # its end may have been heard of before this answer
            self._processes[process.id] = process
        return self._processes[process.id]

    async def wait(self, name: str) -> Process:
        """The process, once it has ended. KeyError if the shim does not know it."""
        while True:
            await self.connect()
            process = self._processes[name]
            if not process.alive:
                return process
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(name, []).append(waiter)
            await waiter

    async def signal(self, name: str, number: int, *, session: bool = False) -> bool:
        """Signal the process group (with ``session`` all that came of it, daemons included). False if it has ended."""
        return bool(await self._ask("signal", id=name, signal=number, session=session))

    async def forget(self, name: str) -> None:
        """Drop the record of an ended process."""
        await self._ask("forget", id=name)
        self._processes.pop(name, None)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        seconds: float,
        beside: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        inside: Mapping[str, Any] | None = None,
    ) -> Done:
        """Run a command to its end, with at most 64 KiB of output: in the view, environment, folder and as the user of the
        process ``beside``, or on the host with ``env`` and ``cwd``. ``inside``: what ``shim.stage`` does first ("stage")."""
        spec: dict[str, Any] = {"argv": list(argv), **(inside or {})}
        if env is not None or not beside:
            spec["env"] = dict(env or {})
        if cwd is not None:
            spec["cwd"] = cwd
        done = await self._ask("exec", spec=spec, id=beside, seconds=seconds)
        return Done(done["code"], done["output"], done["timed_out"])

    async def stream(
        self,
        argv: Sequence[str],
        handles: Sequence[int],
        *,
        stdin: bool,
        terminal: bool,
        beside: str = "",
        env: Mapping[str, str] | None = None,
        inside: Mapping[str, Any] | None = None,
    ) -> StreamEnd:
        """Run a command on ``handles``, which are taken and closed: [stdin,] stdout, stderr, or one terminal; returns at its end.

        Cancelled, it leaves the command alone: the loss of its pipes or terminal is what a command may notice. ``env`` adds to
        the environment of ``beside``, without replacing anything there."""
        spec: dict[str, Any] = {"argv": list(argv), "more_env" if beside else "env": dict(env or {}), **(inside or {})}
        ask = {"n": 1, "do": "stream", "spec": spec, "id": beside, "stdin": stdin, "terminal": terminal}
        with socket.socket(socket.AF_UNIX) as wire:
            try:
                await self.connect()
                await asyncio.to_thread(_send_handles, wire, str(self.socket), json.dumps(ask).encode() + b"\n", handles)
            finally:
                for handle in handles:
                    os.close(handle)
            wire.setblocking(False)
            return await _stream_end(wire)

    async def input(self, name: str) -> int:
        """A descriptor that writes to the process' stdin, or is our end of its terminal; the caller closes it. FailedError when it
        was not started with one, or that is closed."""
        await self.connect()
        return await asyncio.to_thread(_receive_handle, str(self.socket), name)

    async def end_input(self, name: str) -> None:
        """Let the process' stdin end, once everybody who has it lets go. Nothing happens to a terminal."""
        await self._ask("end_input", id=name)

    async def lease(self, kind: str, names: Sequence[str]) -> str:
        """Hold the first free of ``names`` on this machine for as long as the shim lives; asked again, the same one."""
        return str(await self._ask("lease", kind=kind, names=list(names)))

    async def stop(self, *, seconds: float) -> None:
        """End every process (SIGTERM, SIGKILL after ``seconds``) and the shim. Returns when it is gone."""
        wire = self._wire
        await self._ask("stop", seconds=seconds)
        self._stopped = True
        for _ in range(int(seconds * 100) + 500):
            if wire is None or not wire.open:
                return
            await self._clock.sleep(0.01)
        raise FailedError(f"the shim {self.name} did not stop: a process cannot be killed")

    async def close(self) -> None:
        """Let go of the connection; the shim and its processes stay."""
        if self._wire is not None:
            self._wire.close()
        self._wire, self._stopped = None, True

    async def _ask(self, do: str, **arguments: Any) -> Any:
        await self.connect()
        assert self._wire is not None
        return await self._wire.ask(do, **arguments)


def _send_handles(wire: socket.socket, path: str, line: bytes, handles: Sequence[int]) -> None:
    wire.settimeout(10)
    wire.connect(path)
    if handles:
        socket.send_fds(wire, [line], list(handles))
    else:
        wire.sendall(line)


async def _stream_end(wire: socket.socket) -> StreamEnd:
    """The answer among the ends of processes that everybody is told of. TransportError when the shim is gone."""
    loop, incoming = asyncio.get_running_loop(), b""
    while True:
        try:
            data = await loop.sock_recv(wire, 1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise TransportError("the shim closed the connection")
        *lines, incoming = (incoming + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "error" in message:
                raise FailedError(message["error"])
            if "result" in message:
                return StreamEnd(exit_code=message["result"]["code"], problem=message["result"]["problem"])


def _receive_handle(path: str, name: str) -> int:
    with socket.socket(socket.AF_UNIX) as wire:
        _send_handles(wire, path, json.dumps({"n": 1, "do": "input", "id": name}).encode() + b"\n", ())
        incoming = b""
        while True:
            data, handles, _, _ = socket.recv_fds(wire, 1 << 16, 1)
            if handles:
                os.set_inheritable(handles[0], False)
                return handles[0]
            if not data:
                raise TransportError("the shim closed the connection")
            *lines, incoming = (incoming + data).split(b"\n")
            for message in map(json.loads, lines):
                if "error" in message:
                    raise FailedError(message["error"])
