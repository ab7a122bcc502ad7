"""What an object may look like: unknown fields, defaults, validation. One door to ``kube``'s schemas for built-in kinds and to a
CustomResourceDefinition's own schema for the rest. Used by the writing verbs.
"""

from __future__ import annotations

from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Call
from lateen.cluster.api.registry import Served
from lateen.kube import defaults, validation
from lateen.kube.meta import Object
from lateen.kube.schemas import SchemaNode, apply_defaults, problems, prune, type_of

_META_COLLECTIONS = ("annotations", "labels", "finalizers", "ownerReferences")


def node_of(served: Served) -> SchemaNode | None:
    """The type of a served resource; None for a custom one without schema."""
    r = served.resource
    return served.node if served.custom else type_of(r.group, r.version, r.kind)


def accept_fields(call: Call, obj: Object) -> Object:
    """``obj`` without unknown fields; what fieldValidation asks for (Strict, Warn, Ignore) is done about those. BadRequestError."""
    node = node_of(call.served)
    if node is None:
        return obj
    if not call.served.custom:
        drop_empty(obj)
    found = list(problems(node, obj))
    if not found:
        return obj
    r = call.served.resource
    prefix = f'{r.kind} in version "{r.version}" cannot be handled as a {r.kind}: '
    wrong = [p for p in found if p.reason != "unknown"]
    if wrong and not call.served.custom:
        raise statuses.bad_request(prefix + wrong[0].message)
    unknown = [p.message for p in found if p.reason == "unknown"]
    mode = call.option("fieldValidation", "Warn")
    if unknown and mode == "Strict":
        raise statuses.bad_request(f"{prefix}strict decoding error: {', '.join(unknown)}")
    if unknown and mode != "Ignore":
        call.warnings += unknown
    if unknown:
        prune(node, obj)
    return obj


def drop_empty(value: Any) -> None:
    """Take away, in place, what Go's types leave out when they are written: nulls, and empty collections of metadata."""
    if isinstance(value, dict):
        for name in [k for k, v in value.items() if v is None]:
            del value[name]
        meta = value.get("metadata")
        if isinstance(meta, dict):
            for name in _META_COLLECTIONS:
                if name in meta and not meta[name]:
                    del meta[name]
        for inner in value.values():
            if isinstance(inner, dict | list):
                drop_empty(inner)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict | list):
                drop_empty(inner)


def set_defaults(call: Call, obj: Object) -> None:
    """Fill in defaults, in place."""
    if not call.served.custom:
        defaults.apply(obj)
    elif call.served.node is not None:
        apply_defaults(call.served.node, obj)


def validate(call: Call, obj: Object, old: Object | None) -> None:
    """InvalidError with every cause."""
    if call.served.validate is not None and call.path.subresource == "":
        errors = list(call.served.validate(obj, old))
    elif call.served.validate is not None:
        errors = [e for e in call.served.validate(obj, old) if e.field.startswith(("status", "spec"))]
    else:
        errors = validation.validate(obj, old, subresource=call.path.subresource)
    if errors:
        r = call.served.resource
        raise statuses.invalid_fields(r, obj["metadata"].get("name") or "", errors)
