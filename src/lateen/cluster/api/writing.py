"""The one road into storage: every create, update, patch, status write and delete goes through here.

``create_object`` and ``change_object`` do the generic work (placing, defaults, admission, strategy, validation, ownership,
storing); verbs decode and decide what the new object is. A change holds its key, so it is always decided on the newest state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lateen.cluster.api import metadata, ownership, shape, statuses
from lateen.cluster.api.admission import admit_create, admit_update, namespaces, quotas
from lateen.cluster.api.admission.accounts import await_account
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.converting import served_form, stored_form
from lateen.cluster.api.dynamic.writes import mutated_change, mutated_new, validated_change, validated_new
from lateen.cluster.api.ownership import Own
from lateen.cluster.api.registry import Served
from lateen.cluster.api.strategies.base import Strategy
from lateen.cluster.api.strategies.table import strategy_for
from lateen.cluster.storage.seam import Record
from lateen.errors import KeyExistsError
from lateen.kube.meta import Object, edit

Change = Callable[[Object], Object]
_ATTEMPTS = 8
_STATUS = ("status", "approval")


async def create_object(backend: Backend, call: Call, obj: Object, *, own: Own = ownership.record) -> Answer:
    """Store ``obj`` (the caller's own, complete apart from what the server fills in). Answers 201."""
    obj = shape.accept_fields(call, obj)
    metadata.place(call, obj)
    await await_account(backend, call, obj)
    base = "" if obj["metadata"].get("name") else str(obj["metadata"].get("generateName") or "")
    for attempt in range(_ATTEMPTS):
        if base:
            obj["metadata"]["name"] = metadata.generated_name(base)
        prepared = await _prepared(backend, call, edit(obj) if base else obj, own, generated=bool(base))
        try:
            async with quotas.within(backend, call, prepared, None):
                return await _store_new(backend, call, prepared)
        except KeyExistsError as error:
            if not base or attempt == _ATTEMPTS - 1:
                raise statuses.already_exists(call.served.resource, prepared["metadata"]["name"]) from error
    raise AssertionError("unreachable")


async def _prepared(backend: Backend, call: Call, obj: Object, own: Own, *, generated: bool) -> Object:
    strategy = strategy_for(call.served)
    metadata.fill_new(obj, backend.clock.now())
    if strategy.status:
        obj.pop("status", None)
    if strategy.generation:
        obj["metadata"]["generation"] = 1
    shape.set_defaults(call, obj)
    admit_create(backend, call, obj)
    asked = backend.gate.concerned(call, "CREATE") if backend.gate.busy else None
    if asked is not None:
        obj = await mutated_new(backend, call, asked, obj, generated=generated)
        if strategy.status:
            obj.pop("status", None)
    strategy.create(backend, call, obj)
    shape.validate(call, obj, None)
    own(backend, call, obj, None)
    if asked is not None:
        await validated_new(backend, call, asked, obj)
        namespaces.on_create(backend, call, obj)  # it may have gone while others were asked
    return obj


async def _store_new(backend: Backend, call: Call, obj: Object) -> Answer:
    served, strategy = call.served, strategy_for(call.served)
    key = served.key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
    if call.dry_run and backend.storage.get(key) is not None:
        raise KeyExistsError(key)
    form = await stored_form(backend, served, obj) if served.converts else obj
    strategy.reserve(backend, call, obj, None)
    if call.dry_run:
        strategy.release(backend, obj, None)
        return Answer(status=201, obj=obj)
    with outcome(lambda: strategy.stored(backend, obj, None), lambda: strategy.release(backend, obj, None)):
        record = await backend.storage.create(key, form)
    return await answer(backend, served, record, status=201)


def _nothing() -> None:
    """Nothing to undo."""


@contextmanager
def outcome(happened: Callable[[], None], failed: Callable[[], None]) -> Iterator[None]:
    """Around one awaited write: exactly one of the two is called. A cancelled caller's write still happens (``seam.Storage``)."""
    try:
        yield
    except asyncio.CancelledError:
        happened()
        raise
    except BaseException:
        failed()
        raise
    happened()


async def answer(backend: Backend, served: Served, record: Record, *, status: int = 200) -> Answer:
    """The stored record as this version serves it."""
    if served.converts:
        return Answer(status=status, obj=await served_form(backend, served, record.obj))
    return Answer(status=status, record=record)


async def change_object(backend: Backend, call: Call, change: Change, *, own: Own = ownership.record) -> Answer:
    """Replace the named object by ``change(current)``, which gets the served (shared) object and returns a new one.
    NotFoundError."""
    key = call.key
    async with backend.locks.hold(key):
        record = backend.storage.get(key)
        if record is None:
            raise statuses.not_found(call.served.resource, call.name)
        return await change_held(backend, call, record, change, own=own)


async def change_held(
    backend: Backend, call: Call, record: Record, change: Change, *, own: Own = ownership.record, fresh: bool = False
) -> Answer:
    """``change_object`` for a caller that holds the key and read ``record``. ``fresh``: what ``change`` answers shares nothing."""
    served = call.served
    old = await served_form(backend, served, record.obj) if served.converts else record.obj
    new = change(old)
    if call.path.subresource in _STATUS:  # the rest of the object will be the stored one's
        new = {k: v for k, v in new.items() if k in ("kind", "apiVersion", "metadata", "status")}
    if not fresh:
        new = edit(new)
    _check_revision(call, new, record)
    new = await _settle(backend, call, new, old, own)
    if metadata.same_but_bookkeeping(new, old) and not ownership.changed(new, old):
        return await answer(backend, served, record)
    if _finished(new, strategy_for(served)) and not call.dry_run:
        return await remove(backend, served, record, last=await stored_form(backend, served, new))
    async with quotas.within(backend, call, new, old):
        return await _store_changed(backend, call, record, new, old)


async def _store_changed(backend: Backend, call: Call, record: Record, new: Object, old: Object) -> Answer:
    served, strategy = call.served, strategy_for(call.served)
    form = await stored_form(backend, served, new) if served.converts else new
    strategy.reserve(backend, call, new, old)
    if call.dry_run:
        strategy.release(backend, new, old)
        new["metadata"]["resourceVersion"] = str(record.revision)
        return Answer(obj=new)
    with outcome(lambda: strategy.stored(backend, new, old), lambda: strategy.release(backend, new, old)):
        stored = await backend.storage.update(record.key, form, expect=record.revision)
    return await answer(backend, served, stored)


def _check_revision(call: Call, new: Object, record: Record) -> None:
    given = new["metadata"].get("resourceVersion")
    if given and given != str(record.revision):
        raise statuses.conflict(call.served.resource, call.name, statuses.MODIFIED)


async def _settle(backend: Backend, call: Call, new: Object, old: Object, own: Own) -> Object:
    """The new object with system fields kept, the other half (spec or status) isolated, defaults, admission and validation done."""
    strategy = strategy_for(call.served)
    new = _isolated(backend, call, shape.accept_fields(call, new), old)
    asked = backend.gate.concerned(call, "UPDATE") if backend.gate.busy else None
    if asked is not None:
        mutated = await mutated_change(backend, call, asked, new, old)
        new = new if mutated is new else _isolated(backend, call, mutated, old)
    if call.path.subresource in _STATUS:
        strategy.status_update(backend, call, new, old)
    else:
        strategy.update(backend, call, new, old)
        if strategy.generation and _body(new) != _body(old):
            new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1
    shape.validate(call, new, old)
    own(backend, call, new, old)
    if asked is not None:
        await validated_change(backend, call, asked, new, old)
    return new


def _isolated(backend: Backend, call: Call, new: Object, old: Object) -> Object:
    """The new object with only what this write may change, with defaults, and past the server's own admission."""
    strategy = strategy_for(call.served)
    metadata.keep_system_fields(call, new, old)
    if call.path.subresource in _STATUS:
        if call.served.custom:
            shape.set_defaults(call, new)
        return _only_status(new, old, strategy)
    if call.path.subresource:
        new = _only_part(call.path.subresource, new, old)
    if strategy.status:
        _keep(new, old, "status")
    shape.set_defaults(call, new)
    admit_update(backend, call, new, old)
    return new


def _only_status(new: Object, old: Object, strategy: Strategy) -> Object:
    kept = {k: v for k, v in old.items() if k != "status"} | {"metadata": dict(old["metadata"])}
    if "status" in new:
        kept["status"] = new["status"]
    names = ("labels", "annotations", "managedFields") if strategy.status_metadata else ("managedFields",)
    for name in names:
        _keep(kept["metadata"], new["metadata"], name)
    kept["metadata"].pop("resourceVersion", None)
    return kept


def _only_part(subresource: str, new: Object, old: Object) -> Object:
    """The stored object with only what the subresource may change."""
    spec, before = new.get("spec") or {}, edit(old.get("spec") or {})
    kept = edit({k: v for k, v in old.items() if k not in ("spec", "metadata")})
    meta = {**edit(old["metadata"]), **{k: v for k, v in new["metadata"].items() if k == "managedFields"}}
    if subresource == "ephemeralcontainers":
        _keep(before, spec, "ephemeralContainers")
    elif subresource == "finalize":
        _keep(before, spec, "finalizers")
    elif subresource == "resize":
        for kind in ("initContainers", "containers"):
            wanted = {c["name"]: c.get("resources") for c in spec.get(kind) or ()}
            for container in before.get(kind) or ():
                if wanted.get(container["name"]) is not None:
                    container["resources"] = wanted[container["name"]]
    else:  # scale: the verb itself changed nothing but the replicas
        before = spec
    meta.pop("resourceVersion", None)
    return {**kept, "metadata": meta, "spec": before}


def _keep(target: Object, source: Object, name: str) -> None:
    if name in source:
        target[name] = source[name]
    else:
        target.pop(name, None)


def _body(obj: Object) -> dict[str, Any]:
    """What counts for generation."""
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}


def _finished(obj: Object, strategy: Strategy) -> bool:
    """Whether nothing holds an object that is being deleted any longer."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers") or int(meta.get("deletionGracePeriodSeconds") or 0):
        return False
    return not (strategy.spec_finalizers and (obj.get("spec") or {}).get("finalizers"))


async def remove(backend: Backend, served: Served, record: Record, *, last: Object | None = None) -> Answer:
    """Take the record out of storage; the DELETED event carries ``last`` (default: as it was)."""
    with outcome(lambda: strategy_for(served).removed(backend, record.obj), _nothing):
        gone = await backend.storage.delete(record.key, expect=record.revision, obj=last)
    return await answer(backend, served, gone)
