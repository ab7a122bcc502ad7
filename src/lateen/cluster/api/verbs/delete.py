"""DELETE of one object: preconditions, grace, propagation, finalizers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.admission import namespaces
from lateen.cluster.api.bodies import decode
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.dynamic.writes import deleted
from lateen.cluster.api.registry import Served
from lateen.cluster.api.strategies.table import strategy_for
from lateen.cluster.api.writing import answer, outcome, remove
from lateen.cluster.storage.seam import Record
from lateen.kube.meta import Object, parse_time, timestamp

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """What the body and the query ask for. ``grace`` is None when not said."""

    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""


def options_of(call: Call) -> DeleteOptions:
    """The call's DeleteOptions: from the body, then from the query."""
    found: Any = decode(call.request) or {}
    if not isinstance(found, dict):
        raise statuses.bad_request("the request body must be DeleteOptions")
    return options_from(call, found)


def options_from(call: Call, found: Object) -> DeleteOptions:
    """The same from a decoded DeleteOptions."""
    pre = found.get("preconditions") or {}
    grace = found.get("gracePeriodSeconds")
    if grace is None and (text := call.option("gracePeriodSeconds")):
        grace = int(text) if text.lstrip("-").isdigit() else None
    orphan = found.get("orphanDependents")
    propagation = found.get("propagationPolicy") or call.option("propagationPolicy")
    if not propagation and orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    if propagation not in ("", "Background", "Foreground", "Orphan"):
        raise statuses.invalid_options("DeleteOptions", "propagationPolicy", f"unknown policy {propagation!r}")
    if found.get("dryRun"):
        call.rehearse = True
    return DeleteOptions(
        grace=grace, propagation=propagation, uid=pre.get("uid") or "", resource_version=pre.get("resourceVersion") or ""
    )


async def delete(backend: Backend, call: Call) -> Answer:
    """Remove the object, or mark it when something (finalizers, a running pod) holds it. NotFoundError, ConflictError."""
    options = options_of(call)
    namespaces.on_delete(call)
    return await delete_key(backend, call, call.key, options)


async def delete_key(backend: Backend, call: Call, key: str, options: DeleteOptions) -> Answer:
    """``delete`` by storage key: for collections and evictions."""
    async with backend.locks.hold(key):
        record = backend.storage.get(key)
        if record is None:
            raise statuses.not_found(call.served.resource, key.rpartition("/")[2])
        _check(call.served, record.obj, options)
        if backend.gate.busy:
            await deleted(backend, call, record.obj)
        marked = mark(call.served, record.obj, options, backend.clock.now())
        if call.dry_run:
            return await _finished(backend, call.served, record)
        if marked is None:
            return await _finished(backend, call.served, await _remove(backend, call.served, record))
        if marked == record.obj:
            return await answer(backend, call.served, record)
        with outcome(lambda: strategy_for(call.served).stored(backend, marked, record.obj), lambda: None):
            stored = await backend.storage.update(key, marked, expect=record.revision)
        return await answer(backend, call.served, stored)


async def _remove(backend: Backend, served: Served, record: Record) -> Record:
    await remove(backend, served, record)
    return record


async def _finished(backend: Backend, served: Served, record: Record) -> Answer:
    if strategy_for(served).returns_object:
        return await answer(backend, served, record)
    meta = record.obj["metadata"]
    return Answer(obj=statuses.success(served.resource, meta["name"], meta.get("uid", "")))


def _check(served: Served, obj: Object, options: DeleteOptions) -> None:
    meta = obj["metadata"]
    if options.uid and options.uid != meta.get("uid"):
        why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {meta.get('uid')}"
        raise statuses.conflict(served.resource, meta["name"], why)
    if options.resource_version and options.resource_version != meta.get("resourceVersion"):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {meta.get('resourceVersion')}"
        )
        raise statuses.conflict(served.resource, meta["name"], why)


def mark(served: Served, obj: Object, options: DeleteOptions, now: datetime) -> Object | None:
    """The object marked for deletion, or None when nothing holds it and it can go at once. Pure; the result is a new object."""
    grace = grace_seconds(served, obj, options.grace)
    finalizers = _finalizers(obj["metadata"].get("finalizers") or [], options.propagation)
    meta = {**obj["metadata"], "finalizers": finalizers}
    if not finalizers:
        del meta["finalizers"]
    held = bool(finalizers) or bool(strategy_for(served).spec_finalizers and (obj.get("spec") or {}).get("finalizers"))
    if not grace and not held:
        return None
    before = meta.get("deletionTimestamp")
    if before is None:
        meta["deletionTimestamp"] = timestamp(now + timedelta(seconds=grace))
        meta["deletionGracePeriodSeconds"] = grace
        if strategy_for(served).generation:
            meta["generation"] = int(meta.get("generation") or 0) + 1
    elif grace < int(meta.get("deletionGracePeriodSeconds") or 0):
        asked = parse_time(before) - timedelta(seconds=int(meta["deletionGracePeriodSeconds"]))
        meta["deletionTimestamp"] = timestamp(max(asked + timedelta(seconds=grace), now) if grace else now)
        meta["deletionGracePeriodSeconds"] = grace
    marked = {**obj, "metadata": meta}
    if strategy_for(served).spec_finalizers:
        marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return marked


def grace_seconds(served: Served, obj: Object, asked: int | None) -> int:
    """How long the object may still live: only pods that a node runs get any."""
    if served.collection != "core/pods":
        return 0
    spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    if asked is None:
        default = spec.get("terminationGracePeriodSeconds")
        asked = 30 if default is None else int(default)
    return 1 if asked < 0 else asked


def _finalizers(current: list[str], propagation: str) -> list[str]:
    """The finalizers that the propagation policy leaves or adds; without a policy they stay as they are."""
    if not propagation:
        return list(current)
    kept = [f for f in current if f not in (FOREGROUND, ORPHAN)]
    return kept + {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(propagation, [])
