"""What a health rule sees and says. A rule is a pure function ``assess(obj, view) -> Health``, one file per kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from lateen.kube.meta import Key, Object, condition, meta


class State(StrEnum):
    """How an object is."""

    healthy = "Healthy"
    suspended = "Suspended"
    progressing = "Progressing"
    missing = "Missing"
    degraded = "Degraded"
    unknown = "Unknown"


@dataclass(frozen=True, slots=True)
class Health:
    """A state and its reason. ``hopeless``: it will not get better by waiting. ``pod`` and ``container``: whose log tells more."""

    state: State
    message: str = ""
    hopeless: bool = False
    pod: Key | None = None
    container: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing has to be waited for."""
        return self.state in (State.healthy, State.suspended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When a bad state is called hopeless. Infinity means never. Times are seconds."""

    crashes: float = 3  # restarts of a container that keeps failing
    image: float = 10  # since the pod was made, with an image that cannot be pulled
    config: float = 10  # the same, with a ConfigMap, Secret or mount that is not there
    unschedulable: float = 15  # the same, with no node that fits
    unstartable: float = 5  # the same, with a command that is not there


PATIENT = Patience(**{f.name: float("inf") for f in fields(Patience)})
"""Wait for the deadline, whatever happens."""


class View(Protocol):
    """The world around an object."""

    patience: Patience
    began: datetime
    """Since when it is looked at: what happened before is another attempt's."""

    def now(self) -> datetime:
        """The time to measure ages with."""
        ...

    def children(self, uid: str, kind: str) -> Sequence[Object]:
        """The objects of ``kind`` that the object with ``uid`` controls."""
        ...

    def all(self, kind: str, namespace: str = "") -> Sequence[Object]:
        """Every object of a kind, of those that are watched (pods, ReplicaSets, EndpointSlices, StorageClasses, workloads)."""
        ...

    def knows(self, kind: str) -> bool:
        """Whether objects of the kind can be seen (a user may not be allowed to)."""
        ...


HEALTHY = Health(State.healthy)


def progressing(message: str) -> Health:
    """Wait."""
    return Health(State.progressing, message)


def degraded(message: str, *, hopeless: bool = False) -> Health:
    """Something is wrong."""
    return Health(State.degraded, message, hopeless)


def in_motion(obj: Object) -> Health | None:
    """What holds for every kind: being deleted, or not yet seen by its controller."""
    if meta(obj).get("deletionTimestamp"):
        return progressing("is being deleted")
    observed, generation = status(obj).get("observedGeneration"), meta(obj).get("generation")
    if observed is not None and generation is not None and observed < generation:
        return progressing("its controller has not seen the new version yet")
    return None


def status(obj: Object) -> dict[str, Any]:
    """``status``, empty if there is none."""
    return obj.get("status") or {}


def spec(obj: Object) -> dict[str, Any]:
    """``spec``, empty if there is none."""
    return obj.get("spec") or {}


def condition_of(obj: Object, kind: str) -> Mapping[str, Any]:
    """The condition, an empty one if there is none."""
    return condition(status(obj).get("conditions"), kind) or {}


def told(found: Mapping[str, Any]) -> str:
    """A condition's message, or its reason."""
    return str(found.get("message") or found.get("reason") or found.get("type") or "")
