"""Conditions in the words of the Gateway API, before they have a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from lateen.kube.meta import Key, Object
from lateen.traffic.ir import PortKey

CONTROLLER = "lateen.dev/gateway-controller"
GROUP = "gateway.networking.k8s.io"


class GatewayPlace(NamedTuple):
    """A port of a gateway, as a route is attached to it."""

    gateway: Key
    port: int


Place: TypeAlias = GatewayPlace | PortKey


class Condition(NamedTuple):
    """``status`` None is Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str = ""

    def written(self, generation: int) -> dict[str, Any]:
        """As the API has it, without a time."""
        word = "Unknown" if self.status is None else str(self.status)
        return {
            "type": self.type,
            "status": word,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": generation,
        }


def accepted(reason: str = "Accepted", message: str = "") -> Condition:
    """The condition Accepted: True unless a reason says why not."""
    return Condition("Accepted", reason == "Accepted", reason, message)


def resolved(reason: str = "ResolvedRefs", message: str = "") -> Condition:
    """The condition ResolvedRefs: True unless a reason says why not."""
    return Condition("ResolvedRefs", reason == "ResolvedRefs", reason, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStatus:
    """``bound`` says that a proxy shall listen for it."""

    name: str
    port: int
    attached: int
    kinds: tuple[str, ...]
    conditions: tuple[Condition, ...]
    bound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """``urls`` are where its ports really are (a privileged port may not be bindable)."""

    generation: int
    address: str
    urls: tuple[str, ...]
    conditions: tuple[Condition, ...]
    listeners: tuple[ListenerStatus, ...]


@dataclass(frozen=True, slots=True)
class ParentStatus:
    """A route at one of its parents. ``places`` are where its rules are carried out; none if it is not accepted."""

    ref: Object
    conditions: tuple[Condition, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """A route at the parents that are this controller's."""

    generation: int
    parents: tuple[ParentStatus, ...]


def generation_of(obj: Object) -> int:
    """What ``observedGeneration`` refers to."""
    return int((obj.get("metadata") or {}).get("generation") or 0)


def age(obj: Object) -> tuple[str, str, str]:
    """Sorts older objects first, then by name: who wins a conflict."""
    m = obj.get("metadata") or {}
    return str(m.get("creationTimestamp") or ""), str(m.get("namespace") or ""), str(m.get("name") or "")


def worst(conditions: Iterable[Condition]) -> Condition | None:
    """The first that is not True."""
    return next((c for c in conditions if c.status is not True), None)
