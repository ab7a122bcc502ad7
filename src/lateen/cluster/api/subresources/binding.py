"""``pods/binding``: the scheduler puts a pod on a node. ``spec.nodeName`` is set once and for all."""

from __future__ import annotations

from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.bodies import decode
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.kube.meta import Object, set_condition
from lateen.kube.resources import Resource
from lateen.kube.validation.errors import required

_BINDING = Resource(group="", version="v1", kind="Binding", plural="bindings", namespaced=True)


async def bind(backend: Backend, call: Call) -> Answer:
    """Set nodeName and the PodScheduled condition. ConflictError when the pod is bound or going away."""
    return await _bind(backend, call, call.name, decode(call.request) or {})


async def bind_named(backend: Backend, call: Call) -> Answer:
    """``POST bindings``: the pod is named in the body."""
    body = decode(call.request) or {}
    return await _bind(backend, call, str((body.get("metadata") or {}).get("name") or ""), body)


async def _bind(backend: Backend, call: Call, name: str, body: Any) -> Answer:
    pods = backend.served("", "v1", "pods")
    node = ((body.get("target") or {}) if isinstance(body, dict) else {}).get("name")
    if not node:
        raise statuses.invalid_fields(_BINDING, name, [required("target.name")])
    key = pods.key(call.namespace, name)
    async with backend.locks.hold(key):
        record = backend.storage.get(key)
        if record is None:
            raise statuses.not_found(pods.resource, name)
        bound = _bound(pods.resource, record.obj, body, node, backend)
        if not call.dry_run:
            await backend.storage.update(key, bound, expect=record.revision)
    return Answer(status=201, obj={"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


def _bound(resource: Resource, pod: Object, body: Object, node: str, backend: Backend) -> Object:
    meta, spec = pod["metadata"], pod.get("spec") or {}
    name, given = meta["name"], body.get("metadata") or {}
    if given.get("uid") and given["uid"] != meta["uid"]:
        why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {meta['uid']}"
        raise statuses.conflict(resource, name, why)
    if meta.get("deletionTimestamp"):
        raise statuses.conflict(resource, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise statuses.conflict(resource, name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise statuses.conflict(resource, name, f"pod {name} has non-empty .spec.schedulingGates")
    status = pod.get("status") or {}
    conditions = set_condition(status.get("conditions"), {"type": "PodScheduled", "status": "True"}, backend.clock.now())
    annotations = {**(meta.get("annotations") or {}), **(given.get("annotations") or {})}
    new_meta = {**meta, "generation": int(meta.get("generation") or 0) + 1} | ({"annotations": annotations} if annotations else {})
    return {**pod, "metadata": new_meta, "spec": {**spec, "nodeName": node}, "status": {**status, "conditions": conditions}}
