"""What is wrong with a field, in Kubernetes' words (apimachinery pkg/util/validation/field). Made by every check here.

The API server turns a list of these into an Invalid status with :func:`message` and :func:`causes`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

REQUIRED, FORBIDDEN, TOO_LONG = "FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong"
INVALID, NOT_SUPPORTED, DUPLICATE = "FieldValueInvalid", "FieldValueNotSupported", "FieldValueDuplicate"
NOT_FOUND, TOO_MANY = "FieldValueNotFound", "FieldValueTooMany"
_WORDS = {
    REQUIRED: "Required value",
    FORBIDDEN: "Forbidden",
    TOO_LONG: "Too long",
    INVALID: "Invalid value",
    NOT_SUPPORTED: "Unsupported value",
    DUPLICATE: "Duplicate value",
    NOT_FOUND: "Not found",
    TOO_MANY: "Too many",
}
_WITHOUT_VALUE = (REQUIRED, FORBIDDEN, TOO_LONG)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One finding. ``type`` is a cause reason (``FieldValueInvalid``), ``field`` a path such as ``spec.containers[0].image``."""

    type: str
    field: str
    detail: str = ""
    value: Any = None

    @property
    def body(self) -> str:
        """The message without the field."""
        words = _WORDS[self.type]
        shown = words if self.type in _WITHOUT_VALUE else f"{words}: {_shown(self.value)}"
        return f"{shown}: {self.detail}" if self.detail else shown

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(field: str, detail: str = "") -> FieldError:
    """The field must be there."""
    return FieldError(REQUIRED, field, detail)


def invalid(field: str, value: Any, detail: str) -> FieldError:
    """The value breaks a rule."""
    return FieldError(INVALID, field, detail, value)


def forbidden(field: str, detail: str) -> FieldError:
    """The field may not be there, or not change."""
    return FieldError(FORBIDDEN, field, detail)


def duplicate(field: str, value: Any) -> FieldError:
    """Another item has the same identity."""
    return FieldError(DUPLICATE, field, "", value)


def not_found(field: str, value: Any) -> FieldError:
    """The value names something that is not there."""
    return FieldError(NOT_FOUND, field, "", value)


def too_long(field: str, limit: int) -> FieldError:
    """The text is longer than ``limit`` bytes."""
    return FieldError(TOO_LONG, field, f"may not be more than {limit} bytes")


def unsupported(field: str, value: Any, known: Iterable[str]) -> FieldError:
    """The value is none of ``known``, which are shown in the order given."""
    return FieldError(NOT_SUPPORTED, field, "supported values: " + ", ".join(f'"{k}"' for k in known), value)


def causes(errors: Iterable[FieldError]) -> list[dict[str, str]]:
    """``status.details.causes``."""
    return [{"reason": e.type, "message": e.body, "field": e.field} for e in errors]


def message(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> str:
    """``Deployment.apps "x" is invalid: spec.replicas: Invalid value: -1: ...``; several findings in brackets."""
    texts = list(dict.fromkeys(map(str, errors)))
    found = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return f'{kind}.{group} "{name}" is invalid: {found}' if group else f'{kind} "{name}" is invalid: {found}'
