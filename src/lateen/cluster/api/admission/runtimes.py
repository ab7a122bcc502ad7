"""RuntimeClass: a pod's class must exist; its overhead and its wishes for nodes become the pod's. Called by ``pods``."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.errors import ForbiddenError
from lateen.kube.meta import Object, edit
from lateen.kube.quantity import parse


def on_create(backend: Backend, call: Call, pod: Object) -> None:
    """Complete the spec, in place. ForbiddenError for a class that does not exist or does not fit."""
    spec = pod["spec"]
    name = spec.get("runtimeClassName")
    found = backend.get("node.k8s.io", "v1", "runtimeclasses", "", name) if name else None
    if name and found is None:
        raise _rejected(call, pod, f'RuntimeClass "{name}" not found')
    _overhead(call, pod, ((found or {}).get("overhead") or {}).get("podFixed") or {})
    if found is not None:
        _scheduling(call, pod, found.get("scheduling") or {})


def _overhead(call: Call, pod: Object, fixed: Object) -> None:
    spec = pod["spec"]
    given = spec.get("overhead")
    if given and not fixed:
        raise _rejected(call, pod, "Pod Overhead set without corresponding RuntimeClass defined Overhead")
    if given and {k: parse(v) for k, v in given.items()} != {k: parse(v) for k, v in fixed.items()}:
        raise _rejected(call, pod, "Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if fixed:
        spec["overhead"] = edit(fixed)


def _scheduling(call: Call, pod: Object, wishes: Object) -> None:
    spec = pod["spec"]
    for key, value in (wishes.get("nodeSelector") or {}).items():
        known = (spec.get("nodeSelector") or {}).get(key, value)
        if known != value:
            text = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {known}"
            raise _rejected(call, pod, text)
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), key: value}
    more = [t for t in wishes.get("tolerations") or () if t not in (spec.get("tolerations") or ())]
    if more:
        spec["tolerations"] = [*(spec.get("tolerations") or ()), *edit(more)]


def _rejected(call: Call, pod: Object, why: str) -> ForbiddenError:
    return statuses.forbidden(call.served.resource, pod["metadata"].get("name", ""), f"pod rejected: {why}")
