"""Admission: what the server adds to an object or refuses, looking beside it. A plugin per file; this runs them in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lateen.cluster.api.admission import claims, ingresses, limits, namespaces, pods, priorities, rbac
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object

_RBAC = "rbac.authorization.k8s.io"
_ON_CREATE: Mapping[str, Callable[[Backend, Call, Object], None]] = {
    "core/pods": pods.on_create,
    "core/persistentvolumeclaims": claims.on_create,
    "networking.k8s.io/ingresses": ingresses.on_create,
    "scheduling.k8s.io/priorityclasses": priorities.check_class,
    f"{_RBAC}/roles": rbac.check_role,
    f"{_RBAC}/clusterroles": rbac.check_role,
    f"{_RBAC}/rolebindings": rbac.check_binding,
    f"{_RBAC}/clusterrolebindings": rbac.check_binding,
}
_ON_UPDATE: Mapping[str, Callable[[Backend, Call, Object, Object], None]] = {
    "core/persistentvolumeclaims": claims.on_update,
    "scheduling.k8s.io/priorityclasses": priorities.check_class,
    f"{_RBAC}/roles": rbac.check_role,
    f"{_RBAC}/clusterroles": rbac.check_role,
    f"{_RBAC}/rolebindings": rbac.check_binding,
    f"{_RBAC}/clusterrolebindings": rbac.check_binding,
}


def admit_create(backend: Backend, call: Call, obj: Object) -> None:
    """Change a new object in place, or raise."""
    namespaces.on_create(backend, call, obj)
    plugin = _ON_CREATE.get(call.served.collection)
    if plugin is not None:
        plugin(backend, call, obj)
    if call.served.collection in ("core/pods", "core/persistentvolumeclaims"):
        limits.on_create(backend, call, obj)


def admit_update(backend: Backend, call: Call, new: Object, old: Object) -> None:
    """Change a replaced object in place, or raise."""
    plugin = _ON_UPDATE.get(call.served.collection)
    if plugin is not None:
        plugin(backend, call, new, old)
