"""``pods/binding``: the scheduler puts a pod on a node. ``spec.nodeName`` is set once and for all."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.bodies import decode
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.kube.meta import Object, set_condition


async def bind(backend: Backend, call: Call) -> Answer:
    """Set nodeName and the PodScheduled condition. ConflictError when the pod is bound or going away."""
    body = decode(call.request) or {}
    node = ((body.get("target") or {}) if isinstance(body, dict) else {}).get("name")
    if not node:
        raise statuses.invalid(
            call.served.resource, call.name, [statuses.field_cause("target.name", "Required value", reason="FieldValueRequired")]
        )
    key = call.key
    async with backend.locks.hold(key):
        record = backend.storage.get(key)
        if record is None:
            raise statuses.not_found(call.served.resource, call.name)
        bound = _bound(call, record.obj, body, node, backend)
        if not call.dry_run:
            await backend.storage.update(key, bound, expect=record.revision)
    return Answer(status=201, obj={"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


def _bound(call: Call, pod: Object, body: Object, node: str, backend: Backend) -> Object:
    meta, spec = pod["metadata"], pod.get("spec") or {}
    given = body.get("metadata") or {}
    if given.get("uid") and given["uid"] != meta["uid"]:
        why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {meta['uid']}"
        raise statuses.conflict(call.served.resource, call.name, why)
    if meta.get("deletionTimestamp"):
        raise statuses.conflict(call.served.resource, call.name, f"pod {call.name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise statuses.conflict(
            call.served.resource, call.name, f'pod {call.name} is already assigned to node "{spec["nodeName"]}"'
        )
    if spec.get("schedulingGates"):
        raise statuses.conflict(call.served.resource, call.name, f"pod {call.name} has non-empty .spec.schedulingGates")
    status = pod.get("status") or {}
    conditions = set_condition(status.get("conditions"), {"type": "PodScheduled", "status": "True"}, backend.clock.now())
    annotations = {**(meta.get("annotations") or {}), **(given.get("annotations") or {})}
    new_meta = {**meta, "generation": int(meta.get("generation") or 0) + 1} | ({"annotations": annotations} if annotations else {})
    return {**pod, "metadata": new_meta, "spec": {**spec, "nodeName": node}, "status": {**status, "conditions": conditions}}
