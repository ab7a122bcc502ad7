"""Core kinds: Namespace, Pod, Node, and those whose delete answers the object."""

from __future__ import annotations

from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object
from lateen.kube.qos import qos_class


def _new_namespace(backend: Backend, call: Call, new: Object) -> None:
    new["spec"] = {"finalizers": ["kubernetes"]}
    new["status"] = {"phase": "Active"}
    new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]


def _update_namespace(backend: Backend, call: Call, new: Object, old: Object) -> None:
    if call.path.subresource != "finalize":
        new["spec"] = {**(new.get("spec") or {}), "finalizers": (old.get("spec") or {}).get("finalizers") or []}
    new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = new["metadata"]["name"]


def _new_pod(backend: Backend, call: Call, new: Object) -> None:
    new["status"] = {"phase": "Pending", "qosClass": qos_class(new)}
    if (new.get("spec") or {}).get("schedulingGates"):
        message = "Scheduling is blocked due to non-empty scheduling gates"
        new["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": message}]


STRATEGIES = {
    "core/namespaces": Strategy(create=_new_namespace, update=_update_namespace, spec_finalizers=True),
    "core/pods": Strategy(create=_new_pod, status_metadata=True, returns_object=True),
    "core/nodes": Strategy(status_metadata=True),
    "core/serviceaccounts": Strategy(returns_object=True),
    "core/persistentvolumes": Strategy(returns_object=True),
    "core/persistentvolumeclaims": Strategy(returns_object=True),
    "core/podtemplates": Strategy(returns_object=True),
    "core/resourcequotas": Strategy(returns_object=True),
}
