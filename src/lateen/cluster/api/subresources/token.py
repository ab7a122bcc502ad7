"""``serviceaccounts/token``: a bearer token for a ServiceAccount, optionally bound to a pod or Secret (TokenRequest)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.auth.tokens import ISSUER
from lateen.cluster.api.bodies import decode
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.kube.meta import Object, timestamp, uid_of
from lateen.kube.resources import Resource

_DEFAULT_SECONDS, _LEAST, _MOST = 3600, 600, 1 << 32
_REQUEST = Resource(group="authentication.k8s.io", version="v1", kind="TokenRequest", plural="tokenrequests", namespaced=True)
_PLURALS = {"Pod": "pods", "Secret": "secrets"}


async def issue(backend: Backend, call: Call) -> Answer:
    """A new token in ``status``. InvalidError for a lifetime out of range, ConflictError for a bound object that is another."""
    record = backend.storage.get(call.key)
    if record is None:
        raise statuses.not_found(call.served.resource, call.name)
    body: Any = decode(call.request) or {}
    spec = body.get("spec") or {}
    wanted = spec.get("expirationSeconds")
    seconds = _DEFAULT_SECONDS if wanted is None else int(wanted)
    if not _LEAST <= seconds <= _MOST:
        why = f"Invalid value: {seconds}: may not specify a duration " + (
            "less than 10 minutes" if seconds < _LEAST else "larger than 2^32 seconds"
        )
        raise statuses.invalid(_REQUEST, "", [statuses.field_cause("spec.expirationSeconds", why)])
    audiences = list(spec.get("audiences") or ()) or [ISSUER]
    bound, node = _bound(backend, call, record.obj, spec.get("boundObjectRef") or {})
    token, expiry = backend.access.accounts.issue(record.obj, audiences=audiences, seconds=seconds, bound=bound, node=node)
    status = {"token": token, "expirationTimestamp": timestamp(datetime.fromtimestamp(expiry, UTC))}
    meta = {"name": call.name, "namespace": call.namespace, "creationTimestamp": timestamp(backend.clock.now())}
    full = {**spec, "audiences": audiences, "expirationSeconds": seconds}
    return Answer(
        status=201,
        obj={"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": meta, "spec": full, "status": status},
    )


def _bound(backend: Backend, call: Call, account: Object, ref: Object) -> tuple[dict[str, str] | None, str]:
    """({kind, name, uid} of the object the token ends with, the pod's node)."""
    if not ref:
        return None, ""
    kind, name = str(ref.get("kind") or ""), str(ref.get("name") or "")
    if kind not in _PLURALS:
        raise statuses.bad_request(f"cannot bind token to object of type {ref.get('apiVersion', '')}, Kind={kind}")
    served = backend.served("", "v1", _PLURALS[kind])
    found = backend.get("", "v1", _PLURALS[kind], call.namespace, name)
    if found is None:
        raise statuses.not_found(served.resource, name)
    if ref.get("uid") and ref["uid"] != uid_of(found):
        why = f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
        why += "The object might have been deleted and then recreated"
        raise statuses.conflict(served.resource, name, why)
    spec = found.get("spec") or {}
    if kind == "Pod" and (spec.get("serviceAccountName") or "default") != account["metadata"]["name"]:
        name_of = account["metadata"]["name"]
        why = f'cannot bind token for serviceaccount "{name_of}" to pod running with different serviceaccount name.'
        raise statuses.bad_request(why)
    return {"kind": kind, "name": name, "uid": uid_of(found)}, str(spec.get("nodeName") or "")
