"""The shim's loop: one thread, one poll; requests in, answers and ends out.

Protocol: one JSON object per line over a Unix socket. ``{"n": 1, "do": "spawn", ...}`` is answered by ``{"n": 1, "result": ...}``
or ``{"n": 1, "error": "..."}``. Every end of a process goes to every connection as ``{"exit": {...}}``, after it is on disk.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from lateen.shim import view
from lateen.shim.execs import Execs
from lateen.shim.owner import Owner, Record, public
from lateen.shim.spawn import Stdio

_CLOSE_ON_EXEC = 0x40000000  # MSG_CMSG_CLOEXEC
_BACKLOG = 64 << 20  # bytes waiting for one client that does not read: then it is cut off
_TICK = 0.5  # seconds between two looks at how the logs grew
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Connection:
    """One client."""

    __slots__ = ("handles", "incoming", "outgoing", "socket")

    def __init__(self, sock: socket.socket) -> None:
        self.socket, self.incoming, self.outgoing = sock, b"", b""
        self.handles: list[int] = []  # file descriptors that came with the last request

    def take_handles(self) -> list[int]:
        """The descriptors, which are the caller's to close now."""
        taken, self.handles = self.handles, []
        return taken


class Server:
    """Owns the processes under ``folder`` and serves the ``listener``."""

    def __init__(self, folder: str, listener: socket.socket) -> None:
        self._listener, self._poll = listener, select.poll()
        self._connections: dict[int, Connection] = {}
        self._owner = Owner(folder, self._poll, self._tell_end)
        self._execs = Execs(self._poll)
        self._leases: dict[str, tuple[str, socket.socket]] = {}
        self._stop_at: float | None = None
        self._can_view = view.possible(os.path.join(folder, "root"))
        self._root = os.path.join(folder, "root")
        self._next_tick = 0.0

    def run(self) -> None:
        """Serve until stopped and every process ended."""
        wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._stop(5.0))
        for fd in (self._listener.fileno(), wake):
            self._poll.register(fd, select.POLLIN)
        self._reap()  # what ended before the handler was there
        while self._stop_at is None or self._owner.alive():
            for fd, events in self._poll.poll(self._wait()):
                if fd == wake:
                    os.read(wake, 4096)
                else:
                    self._handle(fd, events)
            self._reap()

    def _wait(self) -> int | None:
        """Do what is due; milliseconds until the next such thing."""
        moment = time.monotonic()
        waits = [w for w in (self._execs.tick(), self._log_tick(moment)) if w is not None]
        if self._stop_at is not None:
            if moment >= self._stop_at:
                self._signal_all(signal.SIGKILL)
            waits.append(0.02)
        return int(min(waits) * 1000) + 1 if waits else None

    def _log_tick(self, moment: float) -> float | None:
        if not self._owner.alive() and not self._owner.unsaved:
            return None
        if moment >= self._next_tick:
            self._owner.tick()
            self._next_tick = moment + _TICK
        return self._next_tick - moment

    def _reap(self) -> None:
        for pid, code in self._owner.reap():
            self._execs.ended(pid, code)

    def _handle(self, fd: int, events: int) -> None:
        if fd == self._listener.fileno():
            self._accept()
        elif fd in self._connections:
            connection = self._connections[fd]
            if events & select.POLLOUT:
                self._flush(connection)
            if events & ~select.POLLOUT and fd in self._connections:
                self._receive(connection)
        elif not self._execs.readable(fd) and not self._owner.inputs.readable(fd):
            self._owner.adopted_ended(fd)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        self._connections[sock.fileno()] = Connection(sock)
        self._poll.register(sock.fileno(), select.POLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            data, handles, _, _ = socket.recv_fds(connection.socket, 1 << 18, 3, _CLOSE_ON_EXEC)
            connection.handles += handles
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        *lines, connection.incoming = (connection.incoming + data).split(b"\n")
        for line in lines:
            self._answer(connection, json.loads(line))

    def _answer(self, connection: Connection, ask: Record) -> None:
        def reply(result: Any) -> None:
            self._send(connection, {"n": ask["n"], "result": result})

        def give(handle: int) -> None:
            line = json.dumps({"n": ask["n"], "result": True}).encode() + b"\n"
            socket.send_fds(connection.socket, [line], [handle])

        try:
            _COMMANDS[ask["do"]](self, ask | {"handles": connection.take_handles(), "give": give}, reply)
        except Exception as error:  # noqa: BLE001 - whatever a request does, the owner of all processes must go on
            traceback.print_exc(file=sys.stderr)
            self._send(connection, {"n": ask["n"], "error": _sentence(error)})

    def _send(self, connection: Connection, message: Record) -> None:
        if connection.socket.fileno() < 0:
            return
        connection.outgoing += json.dumps(message).encode() + b"\n"
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.outgoing) if connection.outgoing else 0
            connection.outgoing = connection.outgoing[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        if len(connection.outgoing) > _BACKLOG:
            self._drop(connection)
            return
        self._poll.modify(connection.socket.fileno(), select.POLLIN | (select.POLLOUT if connection.outgoing else 0))

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None) is not None:
            self._poll.unregister(connection.socket.fileno())
            _close(connection.take_handles())
            connection.socket.close()

    def _tell_end(self, record: Record) -> None:
        for connection in list(self._connections.values()):
            self._send(connection, {"exit": public(record)})

    def _hello(self, ask: Record, reply: Callable[[Any], None]) -> None:
        processes = [public(r) for r in self._owner.records.values()]
        leases = {kind: name for kind, (name, _) in self._leases.items()}
        reply({"pid": os.getpid(), "can_view": self._can_view, "leases": leases, "processes": processes})

    def _spawn(self, ask: Record, reply: Callable[[Any], None]) -> None:
        if self._stop_at is not None:
            raise ValueError("the shim is stopping")
        spec = ask["spec"]
        if spec.get("view") is not None:
            spec["view"] = {**spec["view"], "root": self._root}
        self._owner.start(spec, lambda record: reply(public(record)))

    def _signal(self, ask: Record, reply: Callable[[Any], None]) -> None:
        reply(self._owner.signal(ask["id"], ask["signal"], everything=bool(ask.get("session"))))

    def _forget(self, ask: Record, reply: Callable[[Any], None]) -> None:
        reply(self._owner.forget(ask["id"]))

    def _exec(self, ask: Record, reply: Callable[[Any], None]) -> None:
        self._execs.start(self._beside(ask), float(ask["seconds"]), reply)

    def _stream(self, ask: Record, reply: Callable[[Any], None]) -> None:
        """On the descriptors that came with the request: stdin (where ``stdin`` says so), stdout, stderr; or one terminal."""
        handles: list[int] = ask["handles"]
        try:
            spec = self._beside(ask) | {"id": ask.get("id") or "stream"}  # marked as the container's, it ends with it
            if ask["terminal"]:
                stdio = Stdio(handles[0], handles[0], handles[0], terminal=True)
            else:
                stdio = Stdio(handles[0] if ask["stdin"] else None, handles[-2], handles[-1])
            self._execs.stream(spec, stdio, reply)
        finally:
            _close(handles)

    def _input(self, ask: Record, reply: Callable[[Any], None]) -> None:
        """What to type to; on a connection of its own, because it goes with the answer."""
        ask["give"](self._owner.inputs.handle(ask["id"]))

    def _end_input(self, ask: Record, reply: Callable[[Any], None]) -> None:
        self._owner.inputs.end(ask["id"])
        reply(True)

    def _beside(self, ask: Record) -> Record:
        """How to run beside the process ``id`` (its view, environment, user and folder), or alone as ``spec`` says."""
        spec = dict(ask["spec"])
        if name := ask.get("id"):
            record = self._owner.records.get(name)
            if record is None or record["exit_code"] is not None:
                raise ValueError(f"process {name} is not running")
            beside: Record = {"env": self._owner.environment(name)}
            beside |= {k: record["spec"].get(k) for k in ("cwd", "uid", "gid", "groups", "netns")}
            more = spec.pop("more_env", {})
            spec = {**beside, **spec, "join": record["pid"] if record["spec"].get("view") else None}
            spec["env"] = {**more, **spec["env"]}
        return spec

    def _lease(self, ask: Record, reply: Callable[[Any], None]) -> None:
        held = self._leases.get(ask["kind"])
        if held is None:
            held = self._leases[ask["kind"]] = _first_free(ask["names"])
        reply(held[0])

    def _stop_command(self, ask: Record, reply: Callable[[Any], None]) -> None:
        if self._owner.alive() and not ask.get("kill", True):
            raise ValueError(f"{len(self._owner.alive())} processes are alive")
        self._stop(float(ask.get("seconds", 5)))
        reply(True)

    def _stop(self, seconds: float) -> None:
        self._stop_at = time.monotonic() + seconds
        self._owner.stopping = True
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: int) -> None:
        for record in self._owner.alive():
            self._owner.signal(record["id"], number, everything=True)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def _close(handles: list[int]) -> None:
    for handle in handles:
        os.close(handle)


def _first_free(names: list[str]) -> tuple[str, socket.socket]:
    """The first abstract socket name that nobody on this machine holds, and the socket that holds it from now on."""
    for name in names:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind("\0" + name)
        except OSError:
            lock.close()
            continue
        return name, lock
    raise ValueError(f"all {len(names)} names are taken")


_COMMANDS: dict[str, Callable[[Server, Record, Callable[[Any], None]], None]] = {
    "hello": Server._hello,
    "spawn": Server._spawn,
    "signal": Server._signal,
    "forget": Server._forget,
    "exec": Server._exec,
    "stream": Server._stream,
    "input": Server._input,
    "end_input": Server._end_input,
    "lease": Server._lease,
    "stop": Server._stop_command,
}
