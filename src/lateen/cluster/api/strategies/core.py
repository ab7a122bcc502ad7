"""Core kinds: Namespace, Pod, Node, and those whose delete answers the object."""

from __future__ import annotations

from collections.abc import Mapping

from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object, labels_of
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
    _tell_apart(new)


def _tell_apart(pod: Object) -> None:
    """Terms with matchLabelKeys or mismatchLabelKeys select by the pod's own labels too: what those are is settled now."""
    spec, labels = pod.get("spec") or {}, labels_of(pod)
    affinity = spec.get("affinity") or {}
    terms = list(spec.get("topologySpreadConstraints") or ())
    for rules in (affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}):
        terms += rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [e["podAffinityTerm"] for e in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()]
    for term in terms:
        _select_by(term, labels)


def _select_by(term: Object, labels: Mapping[str, str]) -> None:
    keys = [*(("In", k) for k in term.get("matchLabelKeys") or ()), *(("NotIn", k) for k in term.get("mismatchLabelKeys") or ())]
    extra = [{"key": k, "operator": o, "values": [labels[k]]} for o, k in keys if k in labels]
    if extra and term.get("labelSelector") is not None:
        known = term["labelSelector"].get("matchExpressions") or []
        term["labelSelector"]["matchExpressions"] = [*known, *[e for e in extra if e not in known]]


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
