"""What an apply tells while it works, and its result. The CLI draws them; nothing here prints.

A listener is called synchronously, in order, on the loop: it must be quick and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lateen.apply.diff import Action, Verb
from lateen.apply.health import Health
from lateen.apply.refs import Ref
from lateen.errors import DeadlineError, FailedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is going to happen; nothing has been written yet."""

    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One object was written (created, updated or deleted), or found unchanged."""

    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged:
    """An object's health is another one now."""

    ref: Ref
    health: Health
    after: float  # seconds since the apply began


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSeen:
    """A Kubernetes event about an object of the application (or a pod of it): ``type`` is Normal or Warning."""

    ref: Ref
    type: str
    reason: str
    message: str


Progress = Planned | Applied | HealthChanged | EventSeen
Listener = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An object that did not become healthy: why, and the last lines of the failing container."""

    ref: Ref
    health: Health
    log: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.ref}: {self.health.message}"
        if self.log:
            text += f"\n  last lines of {self.health.container} in pod {self.health.pod}:" + "".join(
                f"\n    {line}" for line in self.log
            )
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an apply or a delete did. ``late``: the deadline passed first."""

    actions: tuple[Action, ...]
    health: Mapping[Ref, Health]
    failures: tuple[Failure, ...] = ()
    kept: tuple[Ref, ...] = ()  # would have been pruned, but holds data or is still referred to
    late: bool = False
    seconds: float = 0.0

    def count(self, verb: Verb) -> int:
        """How many objects were created, updated, deleted or found unchanged."""
        return sum(a.verb is verb for a in self.actions)

    @property
    def writes(self) -> int:
        """How many objects were written."""
        return len(self.actions) - self.count(Verb.unchanged)

    def raise_for_failure(self) -> None:
        """FailedError (DeadlineError when it was only late) with every failure, if there is one."""
        if self.failures:
            text = "\n".join(str(f) for f in self.failures)
            raise (DeadlineError(f"not healthy after {self.seconds:.0f} s\n{text}") if self.late else FailedError(text))
