"""Quality of service classes of pods. Pure. Used by the API server when a pod is made, and by the validation of resizes."""

from __future__ import annotations

from lateen.kube.meta import Object


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
