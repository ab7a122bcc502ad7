"""What an object may look like: unknown fields, defaults, validation. One door to ``kube``'s schemas for built-in kinds and to a
CustomResourceDefinition's own schema for the rest. Used by the writing verbs.
"""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Call
from lateen.cluster.api.registry import Served
from lateen.kube import defaults
from lateen.kube.meta import Object
from lateen.kube.schemas import SchemaNode, apply_defaults, problems, prune, type_of


def node_of(served: Served) -> SchemaNode | None:
    """The type of a served resource; None for a custom one without schema."""
    r = served.resource
    return served.node if served.custom else type_of(r.group, r.version, r.kind)


def accept_fields(call: Call, obj: Object) -> Object:
    """``obj`` without unknown fields; what fieldValidation asks for (Strict, Warn, Ignore) is done about those. BadRequestError."""
    node = node_of(call.served)
    if node is None:
        return obj
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


def set_defaults(call: Call, obj: Object) -> None:
    """Fill in defaults, in place."""
    if not call.served.custom:
        defaults.apply(obj)
    elif call.served.node is not None:
        apply_defaults(call.served.node, obj)


def validate(call: Call, obj: Object, old: Object | None) -> None:
    """InvalidError with every cause."""
    errors = list(call.served.validate(obj, old)) if call.served.validate else []
    if errors:
        r = call.served.resource
        raise statuses.invalid_fields(r, obj["metadata"].get("name") or "", errors)
