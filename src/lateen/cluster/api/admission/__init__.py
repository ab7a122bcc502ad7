"""Admission: what the server adds to an object or refuses, looking beside it. A plugin per file; this runs them in order."""

from __future__ import annotations

from lateen.cluster.api.admission import namespaces
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object


def admit_create(backend: Backend, call: Call, obj: Object) -> None:
    """Change a new object in place, or raise."""
    namespaces.on_create(backend, call, obj)


def admit_update(backend: Backend, call: Call, new: Object, old: Object) -> None:
    """Change a replaced object in place, or raise."""
