"""The shape of a strategy: hooks around a write. Hooks change the new object in place; stored ones are shared and only read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object

OnCreate = Callable[[Backend, Call, Object], None]
OnUpdate = Callable[[Backend, Call, Object, Object], None]
OnDelete = Callable[[Backend, Object], None]


def _nothing(*_: object) -> None:
    """No hook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """``create(backend, call, new)``, ``update(backend, call, new, old)``, ``status_update`` likewise, ``removed(backend, old)``
    after it left storage.

    ``status``: status is a subresource. ``status_metadata``: writes to status may change labels and annotations too.
    ``returns_object``: delete answers the object, not a Status. ``spec_finalizers``: ``spec.finalizers`` hold it as well
    (Namespace).
    """

    create: OnCreate = _nothing
    update: OnUpdate = _nothing
    status_update: OnUpdate = _nothing
    removed: OnDelete = _nothing
    status: bool = False
    generation: bool = False
    status_metadata: bool = False
    returns_object: bool = False
    spec_finalizers: bool = False

    def with_rules(self, *, status: bool, generation: bool) -> Strategy:
        """This strategy with the general rules filled in."""
        return replace(self, status=status, generation=generation)
