"""APIService: a local one is available as it is created; a remote one serves its group version from the moment it is stored."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.aggregation.services import COLLECTION, LOCAL, faults, remote_of, with_condition
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object


def _create(backend: Backend, call: Call, new: Object) -> None:
    _check(call, new)
    if remote_of(new) is None:
        new["status"] = with_condition({}, LOCAL, backend.clock.now())["status"]


def _update(backend: Backend, call: Call, new: Object, old: Object) -> None:
    _check(call, new)
    if remote_of(new) is None and remote_of(old) is not None:
        new["status"] = with_condition(new, LOCAL, backend.clock.now())["status"]


def _check(call: Call, new: Object) -> None:
    service = (new.get("spec") or {}).get("service")
    if isinstance(service, dict):
        service.setdefault("port", 443)
    if errors := list(faults(new)):
        raise statuses.invalid_fields(call.served.resource, new["metadata"].get("name", ""), errors)


def take(backend: Backend, obj: Object) -> None:
    """Let the APIService say who serves its group version."""
    spec = obj.get("spec") or {}
    if backend.remotes.set((str(spec.get("group") or ""), str(spec.get("version") or "")), remote_of(obj)):
        backend.registry.touch()


def _stored(backend: Backend, new: Object, old: Object | None) -> None:
    take(backend, new)


def _removed(backend: Backend, old: Object) -> None:
    spec = old.get("spec") or {}
    if backend.remotes.set((str(spec.get("group") or ""), str(spec.get("version") or "")), None):
        backend.registry.touch()


STRATEGIES = {COLLECTION: Strategy(create=_create, update=_update, stored=_stored, removed=_removed)}
