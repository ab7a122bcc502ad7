"""authentication.k8s.io: who am I, whose token is this."""

from __future__ import annotations

from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.bodies import decode_object
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.user import UserInfo
from lateen.errors import UnauthorizedError
from lateen.kube.meta import timestamp


def user_info(user: UserInfo) -> dict[str, Any]:
    """The user as ``authentication.k8s.io/v1`` UserInfo."""
    found: dict[str, Any] = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    found["extra"] = {k: list(v) for k, v in user.extra.items()}
    return {k: v for k, v in found.items() if v}


async def self_subject_review(backend: Backend, call: Call) -> Answer:
    """The caller, as the server sees them."""
    obj = decode_object(call)
    meta = {**obj["metadata"], "creationTimestamp": timestamp(backend.clock.now())}
    return Answer(status=201, obj={**obj, "metadata": meta, "status": {"userInfo": user_info(call.user)}})


async def token_review(backend: Backend, call: Call) -> Answer:
    """Whether a token is good, and whose it is."""
    obj = decode_object(call)
    spec = obj.get("spec") or {}
    if not spec.get("token"):
        raise statuses.bad_request("token is required for TokenReview in authentication")
    audiences = tuple(spec.get("audiences") or ())
    try:
        user = backend.access.user_of(spec["token"], audiences)
    except UnauthorizedError as error:
        status: dict[str, Any] = {"authenticated": False, "error": str(error)}
    else:
        status = {"authenticated": user is not None, "user": user_info(user) if user else {}}
        if user is not None and audiences:
            status["audiences"] = list(audiences)
    return Answer(status=201, obj={**obj, "status": status})
