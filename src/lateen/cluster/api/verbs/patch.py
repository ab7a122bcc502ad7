"""PATCH of one object: JSON patch, merge patch, strategic merge patch; server-side apply is ``verbs.apply``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.bodies import decode, expect_kind, load_json, media_type
from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.verbs.apply import apply
from lateen.cluster.api.writing import change_object
from lateen.kube.meta import Object
from lateen.kube.patches.json import PatchError, json_patch
from lateen.kube.patches.merge import merge_patch
from lateen.kube.patches.strategic import strategic_merge
from lateen.kube.schemas import SchemaNode, type_of

Apply = Callable[[Call, Object, Any], Any]


def _merge(call: Call, old: Object, patch: Any) -> Any:
    if not isinstance(patch, dict):
        raise statuses.bad_request("the patch must be an object")
    return merge_patch(old, patch)


def _json(call: Call, old: Object, patch: Any) -> Any:
    try:
        return json_patch(old, patch)
    except PatchError as error:
        raise statuses.unprocessable(str(error)) from error
    except ValueError as error:
        raise statuses.bad_request(str(error)) from error


def _strategic(call: Call, old: Object, patch: Any) -> Any:
    if call.served.custom:
        raise statuses.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
            "application/merge-patch+json, application/apply-patch+yaml"
        )
    if not isinstance(patch, dict):
        raise statuses.bad_request("the patch must be an object")
    try:
        return strategic_merge(old, patch, _type(old))
    except ValueError as error:
        raise statuses.bad_request(str(error)) from error


def _type(old: Object) -> SchemaNode | None:
    """The type of what is patched: a Scale has another one than its resource."""
    group, _, version = str(old["apiVersion"]).rpartition("/")
    return type_of(group, version, str(old["kind"]))


_KINDS: dict[str, Apply] = {
    "application/merge-patch+json": _merge,
    "application/json-patch+json": _json,
    "application/strategic-merge-patch+json": _strategic,
}
APPLY = "application/apply-patch+yaml"


async def patch(backend: Backend, call: Call) -> Answer:
    """Change the object by the body. NotFoundError, InvalidError, ConflictError (only if the patch names a resourceVersion)."""
    if media_type(call.request.content_type) == APPLY:
        return await apply(backend, call)
    return await change_object(backend, call, lambda old: _checked(call, old, apply_patch(call, old)))


def apply_patch(call: Call, old: Object) -> Object:
    """``old`` changed by the call's body, by the body's media type; ``old`` itself is not. UnsupportedMediaTypeError."""
    apply = _KINDS.get(media_type(call.request.content_type))
    if apply is None:
        raise statuses.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
            "application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
        )
    body = call.request.body
    found = load_json(body) if isinstance(body, bytes) else decode(call.request)
    given = found.get("metadata") if isinstance(found, dict) else None
    new = apply(call, old, found)
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        raise statuses.bad_request("the patched value is not an object")
    if isinstance(found, dict) and not (isinstance(given, dict) and given.get("resourceVersion")):
        new = {**new, "metadata": {k: v for k, v in new["metadata"].items() if k != "resourceVersion"}}
    return new


def _checked(call: Call, old: Object, new: Object) -> Object:
    new = expect_kind(call, new)
    new["metadata"] = dict(new["metadata"])
    if new["metadata"].get("name") != old["metadata"].get("name"):
        raise statuses.bad_request("the name of the object may not be changed by a patch")
    return new
