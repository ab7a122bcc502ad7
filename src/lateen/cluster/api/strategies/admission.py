"""What configures dynamic admission is in force the moment it is stored, and no longer when it is gone."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.dynamic.faults import defaults, faults
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object

_GROUP = "admissionregistration.k8s.io"
_PLURALS = (
    "validatingwebhookconfigurations",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
)


def _create(backend: Backend, call: Call, new: Object) -> None:
    defaults(new)
    if errors := list(faults(new)):
        raise statuses.invalid_fields(call.served.resource, new["metadata"].get("name", ""), errors)


def _update(backend: Backend, call: Call, new: Object, old: Object) -> None:
    _create(backend, call, new)


def _stored(backend: Backend, new: Object, old: Object | None) -> None:
    backend.gate.load()


def _removed(backend: Backend, old: Object) -> None:
    backend.gate.load()


STRATEGIES = {f"{_GROUP}/{p}": Strategy(create=_create, update=_update, stored=_stored, removed=_removed) for p in _PLURALS}
