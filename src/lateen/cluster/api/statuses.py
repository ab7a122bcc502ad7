"""The server's errors and successes in Kubernetes' own words. Pure constructors; used by every verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lateen.errors import (
    AlreadyExistsError,
    BadRequestError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    MethodNotAllowedError,
    NotAcceptableError,
    NotFoundError,
    ServerError,
    TooManyRequestsError,
    UnsupportedMediaTypeError,
)
from lateen.kube.resources import Resource
from lateen.kube.validation.errors import FieldError, causes
from lateen.kube.validation.errors import message as invalid_message


def _details(resource: Resource, name: str) -> dict[str, Any]:
    found = {"name": name, "group": resource.group, "kind": resource.plural}
    return {k: v for k, v in found.items() if v}


def not_found(resource: Resource, name: str) -> NotFoundError:
    """No object of that name."""
    return NotFoundError(f'{resource.group_resource} "{name}" not found', details=_details(resource, name))


def no_such_path() -> NotFoundError:
    """The path is not served at all."""
    return NotFoundError("the server could not find the requested resource", details={})


def already_exists(resource: Resource, name: str) -> AlreadyExistsError:
    """Create met an existing object."""
    return AlreadyExistsError(f'{resource.group_resource} "{name}" already exists', details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> ConflictError:
    """The write was decided on an older state, or a precondition does not hold."""
    message = f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}'
    return ConflictError(message, details=_details(resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def forbidden(resource: Resource, name: str, why: str, *, causes: Sequence[Mapping[str, str]] = ()) -> ForbiddenError:
    """Admission or authorization said no."""
    message = (
        f'{resource.group_resource} "{name}" is forbidden: {why}' if name else f"{resource.group_resource} is forbidden: {why}"
    )
    details = _details(resource, name)
    if causes:
        details["causes"] = list(causes)
    return ForbiddenError(message, details=details)


def bad_request(why: str) -> BadRequestError:
    """The request cannot be understood."""
    return BadRequestError(why)


def method_not_allowed() -> MethodNotAllowedError:
    """The resource does not know this verb."""
    return MethodNotAllowedError("the server does not allow this method on the requested resource", details={})


def terminating_definition() -> MethodNotAllowedError:
    """No new objects of a kind that is going away."""
    return MethodNotAllowedError("create not allowed while custom resource definition is terminating", details={})


def unsupported_media_type(why: str) -> UnsupportedMediaTypeError:
    """The body's media type is not known here."""
    return UnsupportedMediaTypeError(why)


def invalid(resource: Resource, name: str, found: Sequence[Mapping[str, str]]) -> InvalidError:
    """Validation failed. Each cause has ``field``, ``message`` and ``reason`` (FieldValueRequired, ...)."""
    texts = [f"{c['field']}: {c['message']}" if c.get("field") else c["message"] for c in found]
    summary = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: dict[str, Any] = {"name": name, "group": resource.group, "kind": resource.kind, "causes": list(found)}
    return InvalidError(f'{qualified} "{name}" is invalid: {summary}', details={k: v for k, v in details.items() if v})


def invalid_fields(resource: Resource, name: str, errors: Sequence[FieldError]) -> InvalidError:
    """Validation failed: ``kube.validation``'s findings."""
    details: dict[str, Any] = {"name": name, "group": resource.group, "kind": resource.kind, "causes": causes(errors)}
    message = invalid_message(resource.group, resource.kind, name, errors)
    return InvalidError(message, details={k: v for k, v in details.items() if v})


def field_cause(field: str, message: str, *, reason: str = "FieldValueInvalid") -> dict[str, str]:
    """One cause of ``invalid``."""
    return {"reason": reason, "message": message, "field": field}


def expired(why: str, *, continue_token: str = "") -> ExpiredError:
    """The resource version or continue token is gone."""
    error = ExpiredError(why)
    if continue_token:
        status = {**error.status, "metadata": {"continue": continue_token}}
        return ExpiredError(why, status=status)
    return error


def too_old(revision: int, current: int) -> ExpiredError:
    """A watch asked for history that is gone."""
    return expired(f"too old resource version: {revision} ({current})")


def too_large(revision: int, current: int) -> ServerError:
    """A read asked for a state that is not here yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Too large resource version: {revision}, current: {current}"
    status = _failure(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})
    return ServerError(message, status=status)


def internal(why: str) -> ServerError:
    """The server itself failed."""
    return ServerError(f"Internal error occurred: {why}", details={"causes": [{"message": why}]})


def too_many_requests(why: str, *, retry_after: int = 0, causes: Sequence[Mapping[str, str]] = ()) -> TooManyRequestsError:
    """Try again later."""
    details: dict[str, Any] = {"retryAfterSeconds": retry_after} if retry_after else {}
    return TooManyRequestsError(why, details=details | ({"causes": list(causes)} if causes else {}))


def _failure(code: int, reason: str, message: str, details: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": dict(details),
        "code": code,
    }


def success(resource: Resource, name: str, uid: str = "") -> dict[str, Any]:
    """The Status of a finished delete."""
    details = _details(resource, name) | ({"uid": uid} if uid else {})
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def invalid_options(
    kind: str, field: str, why: str, *, reason: str = "FieldValueForbidden", words: str = "Forbidden"
) -> InvalidError:
    """Query parameters that do not fit together."""
    cause = {"reason": reason, "message": f"{words}: {why}", "field": field}
    return InvalidError(
        f'{kind}.meta.k8s.io "" is invalid: {field}: {words}: {why}',
        details={"group": "meta.k8s.io", "kind": kind, "causes": [cause]},
    )


def entity_too_large(limit: int) -> ServerError:
    """The body is larger than the server reads."""
    message = f"Request entity too large: limit is {limit}"
    return ServerError(message, status=_failure(413, "RequestEntityTooLarge", message, {}))


def unavailable(why: str) -> ServerError:
    """Somebody behind us does not answer."""
    return ServerError(why, status=_failure(503, "ServiceUnavailable", why, {}))


def not_acceptable(why: str) -> NotAcceptableError:
    """None of the accepted media types can be produced."""
    return NotAcceptableError(why)


def invalid_scale(name: str, causes: Sequence[Mapping[str, str]]) -> InvalidError:
    """A Scale that cannot be."""
    return invalid(Resource(group="autoscaling", version="v1", kind="Scale", plural="scales", namespaced=True), name, causes)


def unprocessable(why: str) -> InvalidError:
    """422 without an object: the change cannot be carried out."""
    return InvalidError(why)
