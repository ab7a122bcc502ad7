"""managedFields: who set which field. One door to ``kube.managedfields``. Used by ``writing`` and ``verbs.apply``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.shape import node_of
from lateen.kube.managedfields import track
from lateen.kube.managedfields.entries import Manager
from lateen.kube.meta import Object, timestamp

# Called with the finished new object (its own) and the stored one (None for a create).
Own = Callable[[Backend, Call, Object, Object | None], None]


def manager_of(call: Call, operation: str) -> Manager:
    """The writer: ``fieldManager``, or the user agent's product name."""
    name = call.option("fieldManager") or call.request.user_agent.partition("/")[0] or "unknown"
    return Manager(name, operation, call.served.resource.api_version, call.path.subresource)


def record(backend: Backend, call: Call, new: Object, old: Object | None) -> None:
    """What changed belongs to the writer from now on."""
    reset = call.served.custom or "status" in call.served.resource.subresources
    now = timestamp(backend.clock.now())
    track(old, new, manager=manager_of(call, "Update"), now=now, node=node_of(call.served), reset=reset)


def decided(backend: Backend, call: Call, new: Object, old: Object | None) -> None:
    """Ownership was decided before (server-side apply): leave it."""


def changed(new: Object, old: Object) -> bool:
    """Whether ownership itself changed, beyond its timestamps."""
    return _timeless(new) != _timeless(old)


def _timeless(obj: Object) -> list[dict[str, Any]]:
    return [{k: v for k, v in e.items() if k != "time"} for e in obj["metadata"].get("managedFields") or ()]
