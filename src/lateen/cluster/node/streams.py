"""A command in a container with its input and output in somebody's hands: what kubectl exec and attach are on the node's side.

``CommandSession`` owns one end of the pipes or of the terminal, the command has the other; the runtime only starts it. The API
server pumps between a session and a WebSocket, and never sees a file descriptor. Used through ``agent``.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner
from lateen.cluster.node.seam import CommandEnd, Runtime, Stdio
from lateen.cluster.node.watch import FileWatch
from lateen.errors import FailedError

_CHUNK = 1 << 16
_LOOK = 1.0  # seconds between looks at a log that nobody says is written to


class Outlet:
    """The reading end of a pipe or terminal."""

    def __init__(self, handle: int) -> None:
        self._handle, self.draining = handle, False
        self._more = asyncio.Event()
        os.set_blocking(handle, False)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """What is written until the end of file, or until nothing is left once ``drain`` was called."""
        try:
            while (data := self._take()) != b"":
                if data is not None:
                    yield data
                elif self.draining:
                    return
                else:
                    await self._wait()
        finally:
            self._unwatch()

    def _take(self) -> bytes | None:
        """What is there, None if nothing is there yet, b'' at the end."""
        try:
            return os.read(self._handle, _CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""  # a terminal that nobody holds open any more says EIO

    async def _wait(self) -> None:
        self._more.clear()
        asyncio.get_running_loop().add_reader(self._handle, self._more.set)
        try:
            await self._more.wait()
        finally:
            self._unwatch()

    def _unwatch(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)

    def drain(self) -> None:
        """Nothing new is to be waited for: the command has ended, whoever else may hold the other end open."""
        self.draining = True
        self._more.set()


class LogOutlet:
    """What is appended to a log from now on; it ends when told to ``drain``. Close it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._log = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.lseek(self._log, 0, os.SEEK_END)
        self._watch, self._draining = FileWatch(path, clock), False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """As ``Outlet.chunks``."""
        while True:
            draining = self._draining  # asked before the look: what was written before the end is seen by it
            if data := os.read(self._log, _CHUNK):
                yield data
            elif draining:
                return
            else:
                await self._watch.wait(_LOOK)

    def drain(self) -> None:
        """Nothing new is to be waited for."""
        self._draining = True
        self._watch.wake()

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._log)
        self._watch.close()


async def write_all(handle: int, data: bytes) -> bool:
    """Write to a non-blocking descriptor; False when nobody reads any more."""
    loop, view = asyncio.get_running_loop(), memoryview(data)
    while view:
        try:
            view = view[os.write(handle, view) :]
        except BlockingIOError:
            room = asyncio.Event()
            loop.add_writer(handle, room.set)
            try:
                await room.wait()
            finally:
                loop.remove_writer(handle)
        except OSError:
            return False
    return True


def set_size(handle: int, width: int, height: int) -> None:
    """Tell a terminal its size; whoever runs on it gets SIGWINCH."""
    fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class CommandSession:
    """One command under way. Close it in any case; it must be used by one task at a time per direction."""

    def __init__(
        self, work: TaskOwner, *, stdin: int | None, outputs: Mapping[str, Outlet], handles: Sequence[int], terminal: bool
    ) -> None:
        self._work, self._stdin, self._handles = work, stdin, list(handles)
        self._outlets, self._terminal = outputs, terminal
        self._end: asyncio.Task[CommandEnd] | None = None

    def outputs(self) -> Mapping[str, AsyncGenerator[bytes, None]]:
        """``stdout`` and, without a terminal, ``stderr``."""
        return {name: outlet.chunks() for name, outlet in self._outlets.items()}

    async def write(self, data: bytes) -> None:
        """Give it to the command's stdin; nothing happens when it reads no more."""
        if self._stdin is not None and not await write_all(self._stdin, data):
            await self.end_input()

    async def end_input(self) -> None:
        """The input is over. A terminal has no such thing: there it is the user's ^D."""
        if self._stdin is not None and not self._terminal:
            self._handles.remove(self._stdin)
            os.close(self._stdin)
        self._stdin = None

    async def resize(self, width: int, height: int) -> None:
        """The user's window has another size."""
        if self._terminal and self._handles:
            set_size(self._handles[0], width, height)

    def run(self, runtime: Runtime, container_id: str, argv: Sequence[str], stdio: Stdio) -> None:
        """Begin; ``wait`` tells the end."""
        self._end = self._work.start(runtime.stream(container_id, argv, stdio), "command")
        self._end.add_done_callback(self._ended)

    def _ended(self, _: object) -> None:
        for outlet in self._outlets.values():
            outlet.drain()

    async def wait(self) -> CommandEnd:
        """The command's end. FailedError when the container does not run, TransportError when the shim is lost."""
        assert self._end is not None
        return await self._end

    async def close(self) -> None:
        """Let go of everything; a command that still runs loses its input, output and terminal."""
        await self._work.close()
        handles, self._handles, self._stdin = self._handles, [], None
        for handle in handles:
            os.close(handle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which streams a client asks for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


def open_session(runtime: Runtime, container_id: str, argv: Sequence[str], wanted: Wanted) -> CommandSession:
    """Start ``argv`` beside a container. Streams that nobody wants go nowhere."""
    work = TaskOwner(f"exec in {container_id}", on_error=lambda *_: None)  # who waits for the command gets the error
    if wanted.tty:
        ours, theirs = os.openpty()
        outlets = {"stdout": Outlet(ours)}
        session = CommandSession(work, stdin=ours if wanted.stdin else None, outputs=outlets, handles=[ours], terminal=True)
        session.run(runtime, container_id, argv, Stdio(stdin=None, stdout=theirs, stderr=None, terminal=True))
        return session
    session, stdio = _pipes(work, wanted)
    session.run(runtime, container_id, argv, stdio)
    return session


def _pipes(work: TaskOwner, wanted: Wanted) -> tuple[CommandSession, Stdio]:
    ours: list[int] = []
    inlet = reads = None
    if wanted.stdin:
        reads, inlet = os.pipe()
        os.set_blocking(inlet, False)
        ours.append(inlet)
    outlets, theirs = {}, {}
    for name, want in (("stdout", wanted.stdout), ("stderr", wanted.stderr)):
        if want:
            handle, theirs[name] = os.pipe()
            ours.append(handle)
            outlets[name] = Outlet(handle)
        else:
            theirs[name] = os.open("/dev/null", os.O_WRONLY)
    session = CommandSession(work, stdin=inlet, outputs=outlets, handles=ours, terminal=False)
    return session, Stdio(stdin=reads, stdout=theirs["stdout"], stderr=theirs["stderr"])


class AttachSession:
    """A client at a running container: its log from now on, and its stdin or terminal. The container ends it, or ``close``."""

    def __init__(self, runtime: Runtime, container_id: str, log: LogOutlet, wanted: Wanted, *, once: bool) -> None:
        """``wanted.stdin`` only for a container that has one; ``once``: its stdin ends with ours. Closes ``log`` in the end."""
        self._runtime, self._id, self._wanted, self._once = runtime, container_id, wanted, once
        self._log = log
        self._inlet: int | None = None

    def outputs(self) -> Mapping[str, AsyncGenerator[bytes, None]]:
        """Both of the container's streams as ``stdout``: that is how its log holds them."""
        return {"stdout": self._log.chunks()} if self._wanted.stdout or self._wanted.stderr else {}

    async def write(self, data: bytes) -> None:
        """Input; dropped when the container takes none."""
        if self._wanted.stdin and await self._opened():
            assert self._inlet is not None
            await write_all(self._inlet, data)

    async def _opened(self) -> bool:
        if self._inlet is None:
            try:
                inlet = await self._runtime.input(self._id)
            except FailedError:
                self._wanted = replace(self._wanted, stdin=False)
                return False
            os.set_blocking(inlet, False)
            self._inlet = inlet
        return True

    async def end_input(self) -> None:
        """Our input is over, and with it the container's, if that takes only one client's."""
        if self._wanted.stdin and self._once:
            await self._runtime.end_input(self._id)
        if self._inlet is not None and not self._wanted.tty:
            inlet, self._inlet = self._inlet, None
            os.close(inlet)

    async def resize(self, width: int, height: int) -> None:
        """The user's window has another size."""
        if self._wanted.tty and await self._opened():
            assert self._inlet is not None
            set_size(self._inlet, width, height)

    async def wait(self) -> CommandEnd:
        """The container's end: its exit code is told by its status, not here."""
        try:
            await self._runtime.wait(self._id)
        finally:
            self._log.drain()
        return CommandEnd(exit_code=0)

    async def close(self) -> None:
        """Go away."""
        await self.end_input()
        if self._inlet is not None:
            os.close(self._inlet)
            self._inlet = None
        self._log.close()
