"""PUT of one object: replace it, or create it where the kind allows that."""

from __future__ import annotations

from lateen.cluster.api import metadata, statuses
from lateen.cluster.api.bodies import decode_object
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.writing import change_held, create_object
from lateen.kube.meta import Object

# PUT creates these when they are missing, as the real server does.
_CREATE_ON_UPDATE = frozenset(
    (
        "core/events",
        "core/endpoints",
        "core/services",
        "core/limitranges",
        "coordination.k8s.io/leases",
        "networking.k8s.io/ipaddresses",
    )
)
_BY_GROUP = frozenset(("rbac.authorization.k8s.io",))


async def update(backend: Backend, call: Call) -> Answer:
    """Replace the object; a resourceVersion in the body makes it conditional (ConflictError)."""
    new = decode_object(call)
    metadata.place(call, new)
    key = call.key
    async with backend.locks.hold(key):
        record = backend.storage.get(key)
        if record is not None:
            return await change_held(backend, call, record, lambda _: new, fresh=True)
    return await _missing(backend, call, new)


async def _missing(backend: Backend, call: Call, new: Object) -> Answer:
    served = call.served
    allowed = served.collection in _CREATE_ON_UPDATE or served.resource.group in _BY_GROUP
    if call.path.subresource or not allowed or new["metadata"].get("resourceVersion"):
        raise statuses.not_found(served.resource, call.name)
    return await create_object(backend, call, new)
