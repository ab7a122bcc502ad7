"""Processes that somebody may type to: the pipe or terminal of each, held open for as long as it lives. Used by ``owner``.

What a process writes to its terminal is copied to its log here, because a terminal cannot be a file. Whoever attaches gets a
descriptor of its own for the same pipe or terminal, so that no keystroke passes through this process.
"""

from __future__ import annotations

import os
import select
from dataclasses import dataclass

from lateen.shim.spawn import Stdio

_READS = 64  # of a terminal in one go; a terminal holds less than that when its process has ended


@dataclass(slots=True)
class _Input:
    handle: int  # the pipe's writing end, or our end of the terminal
    log: int | None  # where a terminal's output goes


class Inputs:
    """Inputs by process id."""

    def __init__(self, poll: select.poll) -> None:
        self._poll, self._inputs, self._terminals = poll, dict[str, _Input](), dict[int, _Input]()

    def open(self, name: str, log: int, *, stdin: bool, terminal: bool) -> Stdio:
        """What the new process ``name`` is to be started on. ``close_ends`` its descriptors other than ``log`` after the start."""
        if terminal:
            ours, theirs = os.openpty()
            os.set_blocking(ours, False)
            self._inputs[name] = self._terminals[ours] = _Input(ours, os.dup(log))
            self._poll.register(ours, select.POLLIN)
            return Stdio(theirs, theirs, theirs, terminal=True)
        if stdin:
            reader, writer = os.pipe()
            self._inputs[name] = _Input(writer, None)
            return Stdio(reader, log, log)
        return Stdio(None, log, log)

    def handle(self, name: str) -> int:
        """The descriptor to type to. ValueError when there is none."""
        found = self._inputs.get(name)
        if found is None:
            raise ValueError(f"process {name} has no open stdin")
        return found.handle

    def end(self, name: str) -> None:
        """No more input: a pipe is closed (once everybody has), a terminal stays."""
        found = self._inputs.get(name)
        if found is not None and found.log is None:
            self.close(name)

    def readable(self, handle: int) -> bool:
        """Whether ``handle`` is a terminal of ours; its output is copied."""
        found = self._terminals.get(handle)
        if found is None:
            return False
        if not _copy(found):
            self._forget_terminal(handle)
        return True

    def close(self, name: str) -> None:
        """The process has ended: copy the rest and let go."""
        found = self._inputs.pop(name, None)
        if found is None:
            return
        if found.log is not None:
            _copy(found)
            self._forget_terminal(found.handle)
            os.close(found.log)
        os.close(found.handle)

    def _forget_terminal(self, handle: int) -> None:
        if self._terminals.pop(handle, None) is not None:
            self._poll.unregister(handle)


def close_ends(stdio: Stdio) -> None:
    """Close what the process has now of its own: all but the log."""
    if stdio.stdin is not None:
        os.close(stdio.stdin)


def _copy(terminal: _Input) -> bool:
    """Copy some of what is there; False when nobody holds the other end. It comes back to the loop in between: a process that
    never stops writing must not keep the shim from anything else."""
    assert terminal.log is not None
    try:
        for _ in range(_READS):
            data = os.read(terminal.handle, 1 << 16)
            if not data:
                return False
            _write(terminal.log, data)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def _write(log: int, data: bytes) -> None:
    try:
        os.write(log, data)
    except OSError:
        return  # a full disk loses output, not the process
