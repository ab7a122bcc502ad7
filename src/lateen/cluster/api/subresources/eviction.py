"""``pods/eviction``: a delete that asks the pod's disruption budget first."""

from __future__ import annotations

from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.bodies import decode
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.verbs.delete import delete_key, options_from
from lateen.cluster.storage.seam import Record
from lateen.kube.meta import Object, condition_true, labels_of, set_condition, timestamp
from lateen.kube.selectors import from_selector


async def evict(backend: Backend, call: Call) -> Answer:
    """Delete the pod within its budget. TooManyRequestsError when the budget is used up."""
    body: Any = decode(call.request) or {}
    options = options_from(call, body.get("deleteOptions") or {})
    record = backend.storage.get(call.key)
    if record is None:
        raise statuses.not_found(call.served.resource, call.name)
    if _costs(record.obj):
        await _spend(backend, call, record.obj)
    if not call.dry_run:
        await _mark(backend, call)
    await delete_key(backend, call, call.key, options)
    return Answer(status=201, obj={"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


async def _mark(backend: Backend, call: Call) -> None:
    """Say on the pod who ends it."""
    new = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
    async with backend.locks.hold(call.key):
        record = backend.storage.get(call.key)
        if record is None or record.obj["metadata"].get("deletionTimestamp"):
            return
        status = record.obj.get("status") or {}
        conditions = set_condition(status.get("conditions"), new, backend.clock.now())
        marked = {**record.obj, "metadata": dict(record.obj["metadata"]), "status": {**status, "conditions": conditions}}
        await backend.storage.update(call.key, marked, expect=record.revision)


def _costs(pod: Object) -> bool:
    """Whether the pod's end counts against a budget: one that ended, waits or goes already does not."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed", "Pending") and not pod["metadata"].get("deletionTimestamp")


async def _spend(backend: Backend, call: Call, pod: Object) -> None:
    """Take one disruption from the budget that covers the pod, if any."""
    served = backend.served("policy", "v1", "poddisruptionbudgets")
    found = [r for r in backend.storage.list(served.prefix(call.namespace)).records if _covers(r.obj, pod)]
    if not found:
        return
    if len(found) > 1:
        raise statuses.internal("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    key = found[0].key
    async with backend.locks.hold(key):
        record = backend.storage.get(key)
        if record is not None and not call.dry_run:
            spent = _spent(call, record, pod, timestamp(backend.clock.now()))
            if spent is not None:
                await backend.storage.update(key, spent, expect=record.revision)


def _covers(budget: Object, pod: Object) -> bool:
    return from_selector((budget.get("spec") or {}).get("selector"))(labels_of(pod))


def _spent(call: Call, record: Record, pod: Object, now: str) -> Object | None:
    """The budget after one eviction; None when an unhealthy pod may go for free. TooManyRequestsError."""
    budget = record.obj
    name, spec, status = budget["metadata"]["name"], budget.get("spec") or {}, budget.get("status") or {}
    if not condition_true(pod, "Ready"):
        always = spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
        if always or int(status.get("currentHealthy") or 0) >= int(status.get("desiredHealthy") or 0) > 0:
            return None
    if int(status.get("observedGeneration") or 0) < int(budget["metadata"].get("generation") or 0):
        raise statuses.too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            retry_after=10,
            causes=[
                {"reason": "DisruptionBudget", "message": f"The disruption budget {name} is still being processed by the server."}
            ],
        )
    allowed = int(status.get("disruptionsAllowed") or 0)
    if allowed <= 0:
        needs, has = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
        message = f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"
        raise statuses.too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            causes=[{"reason": "DisruptionBudget", "message": message}],
        )
    disrupted = {**(status.get("disruptedPods") or {}), pod["metadata"]["name"]: now}
    return {
        **budget,
        "metadata": dict(budget["metadata"]),
        "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted},
    }
