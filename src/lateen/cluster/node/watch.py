"""Hearing of writes to a file, for whoever follows a log: at once where the kernel has a watch left, else by looking often."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from lateen.aio.clock import Clock
from lateen.aio.tasks import within
from lateen.shim.syscalls import watch_writes

_OFTEN = 0.1


class FileWatch:
    """Watches one file until closed. A write between two waits ends the second one at once."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock, self._written = clock, asyncio.Event()
        self._handle: int | None = None
        try:
            self._handle = watch_writes(str(path))
        except OSError:
            return  # every user has 128 of these
        asyncio.get_running_loop().add_reader(self._handle, self._heard, self._handle)

    def _heard(self, handle: int) -> None:
        os.read(handle, 1 << 16)
        self._written.set()

    def wake(self) -> None:
        """End a wait that is under way, or the next one."""
        self._written.set()

    async def wait(self, seconds: float) -> None:
        """Until the file is written to, ``seconds`` at most."""
        if self._handle is None:
            await self._clock.sleep(0 if self._written.is_set() else min(seconds, _OFTEN))
            return
        try:
            await within(seconds, self._written.wait())
        except TimeoutError:
            return
        self._written.clear()

    def close(self) -> None:
        """Stop watching."""
        if self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None
