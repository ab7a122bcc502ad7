"""NamespaceLifecycle: nothing is created in a namespace that is missing or going away; the first namespaces stay."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object, meta

IMMORTAL = ("default", "kube-system", "kube-public")


def on_create(backend: Backend, call: Call, obj: Object) -> None:
    """NotFoundError without the namespace, ForbiddenError while it terminates."""
    if not call.served.resource.namespaced:
        return
    check(backend, call, obj["metadata"].get("name") or "")


def check(backend: Backend, call: Call, name: str) -> None:
    """The same for subresources that create something."""
    record = backend.storage.get(f"core/namespaces/{call.namespace}")
    if record is None:
        raise statuses.not_found(backend.served("", "v1", "namespaces").resource, call.namespace)
    if meta(record.obj).get("deletionTimestamp"):
        why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
        message = f"namespace {call.namespace} is being terminated"
        causes = [{"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}]
        raise statuses.forbidden(call.served.resource, name, why, causes=causes)


def on_delete(call: Call) -> None:
    """ForbiddenError for the namespaces the cluster cannot do without."""
    if call.served.collection == "core/namespaces" and call.name in IMMORTAL:
        raise statuses.forbidden(call.served.resource, call.name, "this namespace may not be deleted")
