"""The whole error tree. A class says what the caller should do, never only what went wrong.

Every error a user can meet derives from LateenError and carries a message that says what, where and what to do. Foreign
exceptions are wrapped at the adapter that met them, with ``from``.

LateenError
├── InputError                the user's input is wrong: fix it and run again (exit code 2)
├── FailedError               the work was right and did not succeed (exit code 1)
│   └── DeadlineError         it did not succeed in time
├── TransportError            the other side could not be reached or went away: retry later
├── StorageError              the store refused: the write did not happen
│   ├── RevisionConflictError somebody wrote first: read again, then decide
│   ├── KeyExistsError        create met an existing key
│   ├── KeyMissingError       update or delete met no key
│   └── CompactedError        the revision is gone, or the watcher was too slow: list again, then watch
├── TerminalError             a reconciler will never succeed on this input: do not retry until it changes
└── ApiError                  the API server answered with a Status (``status`` holds it)
    ├── BadRequestError       400
    ├── UnauthorizedError     401
    ├── ForbiddenError        403
    ├── NotFoundError         404
    ├── MethodNotAllowedError 405
    ├── NotAcceptableError    406
    ├── ConflictError         409 Conflict: read again, then decide
    │   └── AlreadyExistsError    409 AlreadyExists
    ├── ExpiredError          410 Gone/Expired: list again, then watch
    ├── UnsupportedMediaTypeError 415
    ├── InvalidError          422
    ├── TooManyRequestsError  429: retry after ``retry_after``
    └── ServerError           5xx: retry later
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class LateenError(Exception):
    """Root of every error that lateen raises on purpose."""


class InputError(LateenError):
    """The user's input is wrong; ``where`` is ``file:line:column`` when known. Exit code 2."""

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.where, self.hint = message, where, hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}" + (f"\n  {self.hint}" if self.hint else "")


class FailedError(LateenError):
    """The work was asked for correctly and did not succeed. Exit code 1."""


class DeadlineError(FailedError):
    """The work did not succeed in the time given."""


class TransportError(LateenError):
    """The other side could not be reached, or the connection broke. Retry later."""


class StorageError(LateenError):
    """The store refused; the write did not happen."""


class RevisionConflictError(StorageError):
    """The key's revision is not the expected one. Read again, then decide."""


class KeyExistsError(StorageError):
    """Create met an existing key."""


class KeyMissingError(StorageError):
    """Update or delete met no key."""


class CompactedError(StorageError):
    """The asked-for revision is compacted away, or the watcher fell behind. List again, then watch."""


class TerminalError(LateenError):
    """A reconciler cannot succeed until its input changes. It is not retried."""


class ApiError(LateenError):
    """The API server answered with a ``Status`` object. Build one with :func:`api_error`."""

    code = 500
    reason = "InternalError"

    def __init__(self, message: str, *, status: Mapping[str, Any] | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or (status or {}).get("details") or {})
        self._status = status

    @property
    def status(self) -> dict[str, Any]:
        """The ``Status`` object, ready to send."""
        if self._status is not None:
            return dict(self._status)
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


class BadRequestError(ApiError):
    """400: the request cannot be understood."""

    code, reason = 400, "BadRequest"


class UnauthorizedError(ApiError):
    """401: no or wrong credentials."""

    code, reason = 401, "Unauthorized"


class ForbiddenError(ApiError):
    """403: the user may not do this."""

    code, reason = 403, "Forbidden"


class NotFoundError(ApiError):
    """404: no such object or path."""

    code, reason = 404, "NotFound"


class MethodNotAllowedError(ApiError):
    """405: the resource does not know this verb."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptableError(ApiError):
    """406: none of the accepted media types can be produced."""

    code, reason = 406, "NotAcceptable"


class ConflictError(ApiError):
    """409: somebody wrote first, or another manager owns the field."""

    code, reason = 409, "Conflict"


class AlreadyExistsError(ConflictError):
    """409: create met an existing object."""

    code, reason = 409, "AlreadyExists"


class ExpiredError(ApiError):
    """410: the resource version is gone. List again, then watch."""

    code, reason = 410, "Expired"


class UnsupportedMediaTypeError(ApiError):
    """415: the request body's media type is not known."""

    code, reason = 415, "UnsupportedMediaType"


class InvalidError(ApiError):
    """422: the object does not pass validation; ``details.causes`` names each field."""

    code, reason = 422, "Invalid"


class TooManyRequestsError(ApiError):
    """429: wait, then retry (evictions against a disruption budget answer this too)."""

    code, reason = 429, "TooManyRequests"


class ServerError(ApiError):
    """5xx: the server failed. Retry later."""

    code, reason = 500, "InternalError"


_BY_REASON = {
    cls.reason: cls
    for cls in (
        BadRequestError,
        UnauthorizedError,
        ForbiddenError,
        NotFoundError,
        MethodNotAllowedError,
        NotAcceptableError,
        ConflictError,
        AlreadyExistsError,
        ExpiredError,
        UnsupportedMediaTypeError,
        InvalidError,
        TooManyRequestsError,
    )
}
_BY_CODE = {cls.code: cls for cls in reversed(list(_BY_REASON.values())) if cls is not AlreadyExistsError}


def api_error(status: Mapping[str, Any]) -> ApiError:
    """The error class for a ``Status`` object, by reason, then by code."""
    code = int(status.get("code") or 500)
    reason = str(status.get("reason") or "")
    cls = ExpiredError if reason == "Gone" else _BY_REASON.get(reason) or _BY_CODE.get(code) or ServerError
    return cls(str(status.get("message") or reason or f"HTTP {code}"), status=status)
