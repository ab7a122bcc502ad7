"""The shape of a strategy: hooks around a write. Hooks change the new object in place; stored ones are shared and only read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object

OnCreate = Callable[[Backend, Call, Object], None]
OnUpdate = Callable[[Backend, Call, Object, Object], None]
OnReserve = Callable[[Backend, Call, Object, Object | None], None]
OnOutcome = Callable[[Backend, Object, Object | None], None]
OnRemoved = Callable[[Backend, Object], None]


def _nothing(*_: object) -> None:
    """No hook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """What is special about a kind.

    ``create(backend, call, new)``, ``update(backend, call, new, old)`` and ``status_update`` prepare an object before validation.
    ``reserve(backend, call, new, old or None)`` takes what only one object may have, as the last step before storing; then
    exactly one of ``release`` (the write did not happen) and ``stored`` follows. ``removed(backend, old)``: it left storage.

    ``status``: status is a subresource. ``status_metadata``: writes to status may change labels and annotations too.
    ``returns_object``: delete answers the object, not a Status. ``spec_finalizers``: ``spec.finalizers`` hold it as well
    (Namespace).
    """

    create: OnCreate = _nothing
    update: OnUpdate = _nothing
    status_update: OnUpdate = _nothing
    reserve: OnReserve = _nothing
    release: OnOutcome = _nothing
    stored: OnOutcome = _nothing
    removed: OnRemoved = _nothing
    status: bool = False
    generation: bool = False
    status_metadata: bool = False
    returns_object: bool = False
    spec_finalizers: bool = False

    def with_rules(self, *, status: bool, generation: bool) -> Strategy:
        """This strategy with the general rules filled in."""
        return replace(self, status=status, generation=generation)
