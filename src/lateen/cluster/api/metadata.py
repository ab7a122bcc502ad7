"""metadata of objects on their way into storage: what the server fills in, what it keeps, what it refuses. Used by the writing
verbs."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Call
from lateen.kube import names
from lateen.kube.meta import Object, timestamp

_SUFFIXES = len(names.SUFFIX_ALPHABET) ** 5
_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation")


def place(call: Call, obj: Object) -> None:
    """Put the object in the path's namespace (and under its name); BadRequestError if it names others."""
    meta = obj["metadata"]
    if call.served.resource.namespaced:
        given = meta.get("namespace") or call.namespace
        if given != call.namespace:
            raise statuses.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        meta["namespace"] = given
    elif meta.pop("namespace", None):
        raise statuses.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if call.name and meta.setdefault("name", call.name) != call.name:
        raise statuses.bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({call.name})")


def generated_name(base: str) -> str:
    """``base`` and five random characters."""
    return names.generated(base, secrets.randbelow(_SUFFIXES))


def fill_new(obj: Object, now: datetime) -> None:
    """System fields of a new object. BadRequestError if it carries a resourceVersion."""
    meta = obj["metadata"]
    if meta.pop("resourceVersion", ""):
        raise statuses.bad_request("resourceVersion should not be set on objects to be created")
    for name in _SYSTEM:
        meta.pop(name, None)
    meta["uid"], meta["creationTimestamp"] = str(uuid.uuid4()), timestamp(now)


def keep_system_fields(call: Call, new: Object, old: Object) -> None:
    """System fields of a replaced object come from the stored one. ConflictError when its uid is another's."""
    mine, theirs = new["metadata"], old["metadata"]
    if (uid := mine.get("uid")) and uid != theirs.get("uid"):
        raise statuses.conflict(
            call.served.resource,
            theirs["name"],
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {theirs.get('uid')}",
        )
    for name in _SYSTEM:
        if name in theirs:
            mine[name] = theirs[name]
        else:
            mine.pop(name, None)
    if theirs.get("namespace"):
        mine["namespace"] = theirs["namespace"]
    mine.pop("resourceVersion", None)


def same_but_bookkeeping(new: Object, old: Object) -> bool:
    """Whether a write changes nothing (then it is not stored, and the revision stands still)."""
    return _without(new) == _without(old)


def _without(obj: Object) -> Object:
    meta: dict[str, Any] = {k: v for k, v in obj["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    return {**obj, "metadata": meta}
