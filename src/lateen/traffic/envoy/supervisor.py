"""One proxy kept alive: adopted when it runs, started when it does not, started again when it dies, drained when it must end.

The processes belong to a process owner that outlives the daemon (``lateen.shim``), so a proxy keeps carrying traffic while the
daemon is away, and the next daemon finds it by its name and the sockets that they share.
"""

from __future__ import annotations

import logging
import resource
import signal
from collections.abc import Callable, Mapping
from typing import Protocol

import orjson

from lateen.aio.clock import Clock
from lateen.aio.retry import Backoff
from lateen.errors import LateenError, TransportError
from lateen.shim.client import Process, Spawn
from lateen.traffic.envoy.admin import Admin
from lateen.traffic.envoy.bootstrap import ProxySpec, bootstrap

log = logging.getLogger(__name__)
_AGAIN = Backoff(first=0.02, most=5.0)
_STABLE = 10.0  # seconds a proxy must live for its next end to count as the first one again
_LABEL = "lateen.dev/contract"


class ProcessHost(Protocol):
    """Owns processes by id. ``lateen.shim.client.ShimClient`` is one."""

    def processes(self) -> Mapping[str, Process]:
        """Every process known, alive or ended and not forgotten."""
        ...

    async def spawn(self, spawn: Spawn) -> Process:
        """Start a process, or find the one with this id."""
        ...

    async def wait(self, name: str) -> Process:
        """The process, once it has ended. KeyError if it is not known."""
        ...

    async def signal(self, name: str, number: int) -> bool:
        """False if it has ended."""
        ...

    async def forget(self, name: str) -> None:
        """Drop the record of an ended process."""
        ...


class Proxy:
    """One proxy. ``changed`` is called when it came or went; ``problem`` says in words why it is not there."""

    def __init__(self, spec: ProxySpec, host: ProcessHost, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        self.spec, self.admin = spec, Admin(spec.admin)
        self._host, self._clock, self._changed = host, clock, changed
        self.problem = "it is being started"
        self.restarts = 0

    @property
    def alive(self) -> bool:
        """Whether its process runs; one that runs may carry traffic even while it is not connected."""
        process = self._host.processes().get(self.spec.id)
        return process is not None and process.alive

    async def run(self) -> None:
        """Keep it running until cancelled. Cancelling leaves the process alone."""
        failures = 0
        while True:
            since = self._clock.monotonic()
            try:
                await self._ensure()
                ended = await self._host.wait(self.spec.id)
                self._note(f"it ended with exit code {ended.exit_code}{self._last_words()}")
                await self._host.forget(self.spec.id)
            except (LateenError, KeyError, OSError) as error:
                self._note(f"it cannot be kept running: {error}")
            failures = 0 if self._clock.monotonic() - since > _STABLE else failures + 1
            self.restarts += 1
            await self._clock.sleep(_AGAIN.delay(failures))

    def _note(self, problem: str) -> None:
        log.error("the %s proxy: %s", self.spec.group, problem)
        self.problem = problem
        self._changed()

    def _last_words(self) -> str:
        try:
            with self.spec.log.open("rb") as file:
                file.seek(max(0, self.spec.log.stat().st_size - 2000))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return f"; its log ends with: {lines[-1]}" if lines else ""

    async def _ensure(self) -> None:
        """It runs as the specification says."""
        known = self._host.processes().get(self.spec.id)
        if known is not None and known.alive:
            if known.labels.get(_LABEL) == self.spec.contract():
                self.problem = ""
                self._changed()
                return
            log.warning("the %s proxy listens for another daemon: it is replaced", self.spec.group)
            await self.stop()
        elif known is not None:
            await self._host.forget(self.spec.id)
        await self._start()

    async def _start(self) -> None:
        spec = self.spec
        spec.folder.mkdir(parents=True, exist_ok=True)
        spec.config.write_bytes(orjson.dumps(bootstrap(spec), option=orjson.OPT_INDENT_2))
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        process = await self._host.spawn(
            Spawn(
                id=spec.id,
                argv=spec.argv(),
                env={},
                log=spec.log,
                within=spec.within(),
                labels={_LABEL: spec.contract()},
                rlimits={"nofile": (files, files)},  # a connection is two files; the usual soft limit is 1,024
            )
        )
        if process.alive:
            self.problem = ""
            self._changed()

    async def stop(self, *, seconds: float = 5.0) -> None:
        """Drain, then end it: connections are told to close, requests may end within ``seconds``."""
        if self.alive:
            await self._drain(seconds)
            await self._host.signal(self.spec.id, signal.SIGTERM)
            await self._host.wait(self.spec.id)
        if self.spec.id in self._host.processes():
            await self._host.forget(self.spec.id)
        await self.close()

    async def _drain(self, seconds: float) -> None:
        deadline = self._clock.monotonic() + seconds
        try:
            await self.admin.post("/drain_listeners?graceful&skip_exit")
            while await self._busy() and self._clock.monotonic() < deadline:
                await self._clock.sleep(0.05)
        except TransportError as error:
            log.warning("the %s proxy is ended without draining: %s", self.spec.group, error)

    async def _busy(self) -> bool:
        """Whether requests are under way."""
        text = await self.admin.get("/stats?usedonly&filter=downstream_rq_active$")
        return any(not line.endswith(": 0") for line in text.decode().splitlines() if line and ".admin." not in line)

    async def close(self) -> None:
        """Let go of it."""
        await self.admin.close()
