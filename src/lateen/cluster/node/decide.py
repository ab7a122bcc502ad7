"""What to do for a pod now: pure. The worker observes, calls ``decide``, carries the steps out, and comes back on every change.

Order and restarts as the kubelet's computePodActions: init containers one by one (those with restartPolicy Always are sidecars: the
next starts once they have started), then the containers together; ephemeral ones at any time, once. Crash back-off is
0, 10, 20, 40 ... 300 s, forgotten after a run of ten minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

INIT, SIDECAR, MAIN, EPHEMERAL = "init", "sidecar", "main", "ephemeral"
_FIRST, _MOST, _GOOD_RUN = 10.0, 300.0, 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One container: its newest attempt. ``age`` is seconds since it ended (0 while it runs), ``failures`` the restarts in a
    row before it that count for the back-off. ``held`` (seconds) is how long to wait before another try to start. ``restart`` and
    ``rules`` are the container's own restartPolicy and restartPolicyRules, which come before the pod's;
    ``changed``: it was ended to be started anew as the pod declares it now; ``anew``: what it did is lost with the sandbox."""

    name: str
    kind: str
    attempted: bool = False
    running: bool = False
    started: bool = False
    exit_code: int = 0
    age: float = 0.0
    failures: int = 0
    held: float = 0.0
    restart: str = ""
    rules: Sequence[Mapping[str, Any]] = ()
    changed: bool = False
    anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """``start`` these now, ``stop`` those; look again after ``again`` seconds. ``backing_off`` says who waits, with the whole
    delay. ``phase`` is set when the pod has ended for good."""

    start: Sequence[str] = ()
    stop: Sequence[str] = ()
    backing_off: Mapping[str, float] = field(default_factory=dict)
    again: float | None = None
    phase: str = ""


def crash_delay(failures: int) -> float:
    """Seconds between the end of an attempt and the next, after ``failures`` restarts in a row."""
    return 0.0 if failures <= 0 else min(_MOST, _FIRST * 2 ** min(failures - 1, 30))


def failures_after(failures: int, ran_for: float) -> int:
    """The count for the next attempt, when this one ran for so many seconds."""
    return 0 if ran_for >= _GOOD_RUN else failures + 1


def kind_of(container: Mapping[str, Any], *, init: bool) -> str:
    """init, sidecar or main."""
    if not init:
        return MAIN
    return SIDECAR if container.get("restartPolicy") == "Always" else INIT


class _Plan:
    def __init__(self) -> None:
        self.start: list[str] = []
        self.backing_off: dict[str, float] = {}
        self.waits: list[float] = []

    def run(self, c: Observed) -> None:
        """Start ``c`` now, or when its back-off is over."""
        delay = crash_delay(c.failures) if c.attempted and not c.anew else 0.0
        left = max(delay - c.age, c.held)
        if left > 0:
            self.waits.append(left)
            if delay > c.age:
                self.backing_off[c.name] = delay
        else:
            self.start.append(c.name)

    def steps(self, *, stop: Sequence[str] = (), phase: str = "") -> Steps:
        again = min(self.waits, default=None)
        return Steps(start=self.start, stop=stop, backing_off=self.backing_off, again=again, phase=phase)


def decide(policy: str, containers: Sequence[Observed]) -> Steps:
    """The steps for a pod with restart policy ``policy`` that is not being deleted."""
    plan = _Plan()
    for c in containers:
        if c.kind == EPHEMERAL and not c.attempted and not c.running:
            plan.run(c)
    mains = [c for c in containers if c.kind == MAIN]
    if any(c.anew for c in containers) or not any(c.attempted for c in mains):
        ended = _initialise(plan, policy, containers)
        if ended is not None:
            return ended
    else:
        for c in containers:
            if c.kind == SIDECAR and not c.running:
                plan.run(c)
    if all(c.attempted and not c.running and not _again(policy, c) for c in mains):
        return _finish(containers, mains)
    for c in mains:
        if not c.running and (not c.attempted or _again(policy, c)):
            plan.run(c)
    return plan.steps()


def _initialise(plan: _Plan, policy: str, containers: Sequence[Observed]) -> Steps | None:
    """Bring the init containers on; None once the main ones may start."""
    for c in containers:
        if c.kind == SIDECAR:
            if not c.running:
                plan.run(c)
            if not c.started:
                return plan.steps()
        elif c.kind == INIT and (c.anew or not (c.attempted and not c.running and c.exit_code == 0)):
            if c.attempted and not c.anew and not c.running and not _again(policy, c):
                return _finish(containers, [c])
            if not c.running:
                plan.run(c)
            return plan.steps()
    return None


def _again(policy: str, c: Observed) -> bool:
    return c.changed or restarts(policy, c.restart, c.rules, c.exit_code)


def restarts(policy: str, own: str, rules: Sequence[Mapping[str, Any]], code: int) -> bool:
    """Whether a container that ended with ``code`` is started again, by its rules, else its own policy, else the pod's."""
    for rule in rules:
        found = rule.get("exitCodes") or {}
        if (code in (found.get("values") or ())) == (found.get("operator") == "In"):
            return True  # Restart is the only action
    wanted = own or policy
    return wanted == "Always" or (wanted == "OnFailure" and code != 0)


def _finish(containers: Sequence[Observed], decisive: Sequence[Observed]) -> Steps:
    """Everything that decides has ended: sidecars go, then the pod has its phase."""
    left = [c.name for c in reversed(containers) if c.running]
    if left:
        return Steps(stop=left)
    return Steps(phase="Failed" if any(c.exit_code != 0 for c in decisive) else "Succeeded")
