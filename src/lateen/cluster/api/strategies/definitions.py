"""CustomResourceDefinition: its status is decided as it is written, and what it defines is served the moment it is stored."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.crd.definition import FINALIZER, complete_names, established, faults, served_versions, status_of
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object

COLLECTION = "apiextensions.k8s.io/customresourcedefinitions"


def _others(backend: Backend) -> list[Object]:
    return list(backend.objects("apiextensions.k8s.io", "v1", "customresourcedefinitions"))


def _create(backend: Backend, call: Call, new: Object) -> None:
    _prepare(backend, call, new)
    finalizers = new["metadata"].setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)


def _update(backend: Backend, call: Call, new: Object, old: Object) -> None:
    _prepare(backend, call, new)


def _prepare(backend: Backend, call: Call, new: Object) -> None:
    spec = new.setdefault("spec", {})
    spec["names"] = complete_names(spec)
    spec.setdefault("conversion", {"strategy": "None"})
    errors = list(faults(new))
    if errors:
        raise statuses.invalid_fields(call.served.resource, new["metadata"].get("name", ""), errors)
    new["status"] = status_of(new, _others(backend), backend.clock.now())


def serve(backend: Backend, crd: Object) -> None:
    """Serve what the definition defines; nothing else of it."""
    if not established(crd):
        return
    group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
    wanted = {s.resource.version: s for s in served_versions(crd)}
    for served in list(backend.registry):
        r = served.resource
        if (r.group, r.plural) == (group, plural) and r.version not in wanted:
            backend.registry.remove(group, r.version, plural)
    for served in wanted.values():
        backend.registry.add(served)


def _stored(backend: Backend, new: Object, old: Object | None) -> None:
    serve(backend, new)


def _removed(backend: Backend, old: Object) -> None:
    group, plural = old["spec"]["group"], old["spec"]["names"]["plural"]
    for version in old["spec"]["versions"]:
        backend.registry.remove(group, version["name"], plural)


STRATEGIES = {COLLECTION: Strategy(create=_create, update=_update, stored=_stored, removed=_removed)}
