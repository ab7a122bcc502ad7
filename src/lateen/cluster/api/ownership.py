"""managedFields: who set which field. One door to ``kube.managedfields``. Used by ``writing`` and server-side apply."""

from __future__ import annotations

from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object


def manager_of(call: Call) -> str:
    """``fieldManager``, or the user agent's product name."""
    return call.option("fieldManager") or call.request.user_agent.partition("/")[0] or "unknown"


def on_create(backend: Backend, call: Call, obj: Object, manager: str) -> None:
    """Record who made a new object."""


def on_update(backend: Backend, call: Call, new: Object, old: Object, manager: str) -> None:
    """Record who changed what."""


def changed(new: Object, old: Object) -> bool:
    """Whether ownership itself changed, beyond its timestamps."""
    return False
