"""What an object may look like: unknown fields, defaults, validation. One door to ``kube``'s schemas for built-in kinds and to a
CustomResourceDefinition's own schema for the rest. Used by the writing verbs.
"""

from __future__ import annotations

from lateen.cluster.api.call import Call
from lateen.kube.meta import Object


def accept_fields(call: Call, obj: Object) -> Object:
    """``obj`` without unknown fields; what fieldValidation asks for (Strict, Warn, Ignore) is done about those."""
    return obj


def set_defaults(call: Call, obj: Object) -> None:
    """Fill in defaults, in place."""


def validate(call: Call, obj: Object, old: Object | None) -> None:
    """InvalidError with every cause."""
