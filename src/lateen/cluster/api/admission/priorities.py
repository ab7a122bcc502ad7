"""Priority: a pod's class becomes its number, which nobody says for themselves; one class at most is the default."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.kube.meta import Object

_CLASSES = ("scheduling.k8s.io", "v1", "priorityclasses")


def on_create(backend: Backend, call: Call, pod: Object) -> None:
    """Complete the spec of a pod, in place. ForbiddenError for an unknown class, or a number that is not the class's."""
    spec = pod["spec"]
    found = _class_of(backend, call, pod)
    if found is not None:
        spec["priorityClassName"] = found["metadata"]["name"]
    priority = int((found or {}).get("value") or 0)
    policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
    if spec.get("priority") not in (None, priority):
        raise _refused(
            call, pod, f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; ", priority
        )
    if spec.get("preemptionPolicy") not in (None, policy):
        said = f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
        raise _refused(call, pod, said, policy)
    spec["priority"], spec["preemptionPolicy"] = priority, policy


def _class_of(backend: Backend, call: Call, pod: Object) -> Object | None:
    name = pod["spec"].get("priorityClassName")
    if not name:
        defaults = [c for c in backend.objects(*_CLASSES) if c.get("globalDefault")]
        return min(defaults, key=lambda c: int(c["value"]), default=None)
    found = backend.get(*_CLASSES, "", name)
    if found is None:
        raise statuses.forbidden(
            call.served.resource, pod["metadata"].get("name", ""), f"no PriorityClass with name {name} was found"
        )
    return found


def _refused(call: Call, pod: Object, said: str, computed: object) -> Exception:
    why = f"{said}priority admission controller computed {computed} from the given PriorityClass name"
    return statuses.forbidden(call.served.resource, pod["metadata"].get("name", ""), why)


def check_class(backend: Backend, call: Call, new: Object, old: Object | None = None) -> None:
    """ForbiddenError for a second default."""
    if not new.get("globalDefault"):
        return
    name = new["metadata"].get("name", "")
    other = next((c for c in backend.objects(*_CLASSES) if c.get("globalDefault") and c["metadata"]["name"] != name), None)
    if other is not None:
        why = f"PriorityClass {other['metadata']['name']} is already marked as default. Only one default can exist"
        raise statuses.forbidden(call.served.resource, name, why)
