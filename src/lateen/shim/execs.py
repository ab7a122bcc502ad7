"""Commands beside a process or alone, used by ``server``: short ones with an output and a time limit (probes and hooks), and
ones on the caller's own file descriptors (kubectl exec)."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lateen.shim import procfs
from lateen.shim.spawn import SpawnError, Stdio, spawn

Reply = Callable[[dict[str, Any]], None]
MOST = 64 * 1024
LATE = 124
_READS = 16  # in one go: a pipe holds less when its command has ended, and one that never stops must not hold up the shim


@dataclass(slots=True)
class _Run:
    mark: str
    pipe: int
    until: float
    reply: Reply
    output: bytes = b""
    late: bool = False


class Execs:
    """Commands under way, by pid."""

    def __init__(self, poll: select.poll) -> None:
        self._poll, self._runs, self._pipes = poll, dict[int, _Run](), dict[int, _Run]()
        self._streams: dict[int, Reply] = {}
        self._count = 0

    def start(self, spec: Mapping[str, Any], seconds: float, reply: Reply) -> None:
        """Run ``spec``; ``reply`` gets {"code", "output", "timed_out"} at its end. 126 when it cannot be started."""
        self._count += 1
        mark = f"exec-{self._count}"
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            pid = spawn({**spec, "id": mark}, Stdio(None, writer, writer))
        except SpawnError as error:
            os.close(reader)
            reply({"code": 126, "output": str(error), "timed_out": False})
            return
        finally:
            os.close(writer)
        self._runs[pid] = self._pipes[reader] = _Run(mark, reader, time.monotonic() + seconds, reply)
        self._poll.register(reader, select.POLLIN)

    def stream(self, spec: Mapping[str, Any], stdio: Stdio, reply: Reply) -> None:
        """Run ``spec`` on ``stdio``; ``reply`` gets {"code", "problem"} at its end: 126 and why, when it cannot be started."""
        try:
            self._streams[spawn(spec, stdio)] = reply
        except SpawnError as error:
            reply({"code": 126, "problem": str(error)})

    def readable(self, fd: int) -> bool:
        """Whether ``fd`` is a command's output; some of it is read."""
        run = self._pipes.get(fd)
        if run is None:
            return False
        if not _read(run):
            self._drop(run)
        return True

    def ended(self, pid: int, code: int) -> None:
        """A child that is no process of the owner ended."""
        if (streams := self._streams.pop(pid, None)) is not None:
            streams({"code": code, "problem": ""})
        run = self._runs.pop(pid, None)
        if run is None:
            return
        for stray in procfs.strays(pid, run.mark, os.getpid()):
            _kill(stray)
        if run.pipe in self._pipes:
            _read(run)
            self._drop(run)
        output = run.output[:MOST].decode(errors="replace")
        run.reply({"code": LATE if run.late else code, "output": output, "timed_out": run.late})

    def _drop(self, run: _Run) -> None:
        if self._pipes.pop(run.pipe, None) is not None:
            self._poll.unregister(run.pipe)
            os.close(run.pipe)

    def tick(self) -> float | None:
        """Kill what is late; seconds until the next may be."""
        moment = time.monotonic()
        for pid, run in self._runs.items():
            if moment >= run.until and not run.late:
                run.late = True
                for child in [*procfs.family(pid, run.mark, os.getpid()), pid]:
                    _kill(child)
        return min((max(0.005, r.until - moment) for r in self._runs.values() if not r.late), default=None)


def _read(run: _Run) -> bool:
    """Take some of what is there; False at the end. Output beyond MOST is read and dropped, so that the command is not held up."""
    try:
        for _ in range(_READS):
            data = os.read(run.pipe, 1 << 16)
            if not data:
                return False
            if len(run.output) < MOST:
                run.output += data
    except BlockingIOError:
        return True
    return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
