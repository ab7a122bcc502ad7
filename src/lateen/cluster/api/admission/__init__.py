"""Admission: what the server adds to an object or refuses, looking beside it. A plugin per file; this runs them in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lateen.cluster.api.admission import claims, namespaces, pods
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object

_ON_CREATE: Mapping[str, Callable[[Backend, Call, Object], None]] = {
    "core/pods": pods.on_create,
    "core/persistentvolumeclaims": claims.on_create,
}


def admit_create(backend: Backend, call: Call, obj: Object) -> None:
    """Change a new object in place, or raise."""
    namespaces.on_create(backend, call, obj)
    plugin = _ON_CREATE.get(call.served.collection)
    if plugin is not None:
        plugin(backend, call, obj)


def admit_update(backend: Backend, call: Call, new: Object, old: Object) -> None:
    """Change a replaced object in place, or raise."""
