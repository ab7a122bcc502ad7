"""Core kinds: Namespace, Pod, Node, and those whose delete answers the object."""

from __future__ import annotations

from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object


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


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort, from the containers' cpu and memory."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    wants = [(c.get("resources") or {}) for c in containers]
    limits = [{k: v for k, v in (w.get("limits") or {}).items() if k in ("cpu", "memory") and str(v) != "0"} for w in wants]
    requests = [{k: v for k, v in (w.get("requests") or {}).items() if k in ("cpu", "memory") and str(v) != "0"} for w in wants]
    if not any(limits) and not any(requests):
        return "BestEffort"
    same = all(len(lim) == 2 and all(req.get(k, v) == v for k, v in lim.items()) for lim, req in zip(limits, requests, strict=True))
    return "Guaranteed" if same else "Burstable"


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
