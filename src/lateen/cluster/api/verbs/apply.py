"""Server-side apply: PATCH with ``application/apply-patch+yaml``. The merge and the conflicts are ``kube.managedfields``'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lateen.cluster.api import metadata, ownership, statuses
from lateen.cluster.api.access import check
from lateen.cluster.api.bodies import expect_kind, load_yaml
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.shape import accept_fields, node_of
from lateen.cluster.api.writing import change_held, create_object
from lateen.errors import AlreadyExistsError
from lateen.kube.managedfields import apply as merge
from lateen.kube.meta import Object, edit, timestamp


async def apply(backend: Backend, call: Call) -> Answer:
    """Merge the applied configuration into the object, or create it. ConflictError unless ``force``."""
    config = _configuration(call)
    key = call.key
    async with backend.locks.hold(key):
        record = backend.storage.get(key)
        if record is not None:
            return await change_held(backend, call, record, lambda old: _merged(backend, call, old, config), own=ownership.decided)
    if call.path.subresource:
        raise statuses.not_found(call.served.resource, call.name)
    check(backend.access.rbac, replace(call, verb="create"))
    try:
        return await create_object(backend, call, _merged(backend, call, None, config), own=ownership.decided)
    except AlreadyExistsError:
        return await apply(backend, call)  # created meanwhile: merge into that


def _configuration(call: Call) -> Object:
    if not call.option("fieldManager"):
        raise statuses.invalid_options(
            "PatchOptions", "fieldManager", "is required for apply patch", reason="FieldValueRequired", words="Required value"
        )
    body: Any = call.request.body
    found = load_yaml(body) if isinstance(body, bytes) else edit(body)
    if not isinstance(found, dict):
        raise statuses.bad_request("the applied configuration must be an object")
    config = expect_kind(call, found)
    metadata.place(call, config)
    if config["metadata"].get("managedFields"):
        raise statuses.bad_request("metadata.managedFields must be nil")
    return accept_fields(call, config)


def _merged(backend: Backend, call: Call, live: Object | None, config: Object) -> Object:
    reset = call.served.custom or "status" in call.served.resource.subresources
    return merge(
        live,
        config,
        manager=ownership.manager_of(call, "Apply"),
        force=call.flag("force"),
        now=timestamp(backend.clock.now()),
        node=node_of(call.served),
        reset=reset,
    )
