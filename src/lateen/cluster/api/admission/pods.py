"""Pods: the service account's name, runtime class, priority, and the tolerations that give a lost node its five minutes.

Whether the account exists, and its token, is ``accounts``' part.
"""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.admission import accounts, runtimes
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object

_LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_SECONDS = 300


def on_create(backend: Backend, call: Call, pod: Object) -> None:
    """Complete the spec, in place. ForbiddenError for an unknown priority class."""
    spec = pod.setdefault("spec", {})
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec.get("serviceAccount") or "default"
    spec["serviceAccount"] = spec["serviceAccountName"]
    accounts.on_create(backend, call, pod)
    runtimes.on_create(backend, call, pod)
    _priority(backend, call, pod, spec)
    tolerations = spec.get("tolerations") or []
    for key in _LOST:
        if not any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in tolerations):
            tolerations = [*tolerations, {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}]
    spec["tolerations"] = tolerations


def _priority(backend: Backend, call: Call, pod: Object, spec: Object) -> None:
    name, found = spec.get("priorityClassName"), None
    if name:
        found = backend.get("scheduling.k8s.io", "v1", "priorityclasses", "", name)
        if found is None:
            raise statuses.forbidden(
                call.served.resource, pod["metadata"].get("name", ""), f"no PriorityClass with name {name} was found"
            )
    else:
        found = next((c for c in backend.objects("scheduling.k8s.io", "v1", "priorityclasses") if c.get("globalDefault")), None)
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
    if found is not None:
        spec["priority"] = int(found["value"])
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", (found or {}).get("preemptionPolicy") or "PreemptLowerPriority")
