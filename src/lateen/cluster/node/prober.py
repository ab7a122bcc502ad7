"""The probes of one attempt of one container: when to check, and what the results mean. Used by the pod worker.

Rules of the kubelet: nothing else runs until the startup probe succeeded; readiness starts as False, liveness as True; thresholds
count results in a row. One difference: before its first success, a startup or readiness probe is also tried between its periods,
from 50 ms on with growing pauses, so that a fast service is found ready at once; such extra tries never count as failures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner
from lateen.cluster.node.probe import Result

Check = Callable[[Mapping[str, Any], float], Awaitable[Result]]
_EAGER_FIRST, _EAGER_FACTOR, _EAGER_MOST = 0.05, 1.5, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Where results go. All are synchronous and quick."""

    started: Callable[[], None]
    ready: Callable[[bool], None]
    unhealthy: Callable[[str, str], None]  # (Startup | Liveness | Readiness, message)
    kill: Callable[[str, Mapping[str, Any]], None]  # (startup | liveness, the probe) failed for good


class Prober:
    """Runs the probes of ``container`` as tasks of ``owner`` until that is closed."""

    def __init__(self, container: Mapping[str, Any], *, check: Check, clock: Clock, reports: Reports, owner: TaskOwner) -> None:
        self._container, self._check, self._clock, self._reports, self._owner = container, check, clock, reports, owner

    def start(self, *, started: bool, ready: bool) -> None:
        """Begin; ``started`` and ``ready`` are what is known already (an adopted container)."""
        probe = self._container.get("startupProbe")
        if probe and not started:
            self._owner.start(self._startup(probe, ready), "startup probe")
        else:
            self._begin(ready)

    def _begin(self, ready: bool) -> None:
        self._reports.started()
        if probe := self._container.get("livenessProbe"):
            self._owner.start(self._loop("Liveness", probe, eager=False), "liveness probe")
        if probe := self._container.get("readinessProbe"):
            self._owner.start(self._loop("Readiness", probe, eager=not ready), "readiness probe")
        else:
            self._reports.ready(True)

    async def _startup(self, probe: Mapping[str, Any], ready: bool) -> None:
        await self._loop("Startup", probe, eager=True)
        self._begin(ready)

    async def _loop(self, kind: str, probe: Mapping[str, Any], *, eager: bool) -> None:
        """Check for ever; the startup probe until it succeeded."""
        await self._clock.sleep(probe.get("initialDelaySeconds") or 0)
        period = float(probe.get("periodSeconds") or 10)
        succeeded = failed = 0
        while True:
            due = self._clock.monotonic() + period
            result = await (self._eagerly(probe, due) if eager else self._once(probe))
            if result.ok:
                succeeded, failed = succeeded + 1, 0
                if succeeded >= (probe.get("successThreshold") or 1):
                    eager = False
                    if kind == "Startup":
                        return
                    if kind == "Readiness":
                        self._reports.ready(True)
            else:
                succeeded, failed = 0, failed + 1
                self._reports.unhealthy(kind, result.message)
                if failed >= (probe.get("failureThreshold") or 3):
                    failed = 0
                    self._failed(kind, probe)
            await self._clock.sleep(due - self._clock.monotonic())

    def _failed(self, kind: str, probe: Mapping[str, Any]) -> None:
        if kind == "Readiness":
            self._reports.ready(False)
        else:
            self._reports.kill(kind.lower(), probe)

    async def _once(self, probe: Mapping[str, Any]) -> Result:
        return await self._check(probe, float(probe.get("timeoutSeconds") or 1))

    async def _eagerly(self, probe: Mapping[str, Any], due: float) -> Result:
        """The first success before ``due``, or the last failure."""
        pause = _EAGER_FIRST
        while True:
            result = await self._once(probe)
            left = due - self._clock.monotonic()
            if result.ok or left <= 0:
                return result
            await self._clock.sleep(min(pause, left))
            pause = min(_EAGER_MOST, pause * _EAGER_FACTOR)
