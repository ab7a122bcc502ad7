"""Values of a chart: trees that templates read, the difference of two as a values file, and their JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Tree = dict[str, Any]
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
_OBJECT: Tree = {"type": "object"}
_STRINGS: Tree = {"type": "object", "additionalProperties": {"type": "string"}}
_FREE: Mapping[str, Tree] = {
    "resources": {
        "type": "object",
        "properties": {"requests": _OBJECT, "limits": _OBJECT, "claims": {"type": "array"}},
        "additionalProperties": False,
    },
    "env": {"type": "object", "additionalProperties": {"type": "string"}},
    "config": _STRINGS,
    "podAnnotations": _STRINGS,
    "nodeSelector": _STRINGS,
    "affinity": _OBJECT,
    "tolerations": {"type": "array", "items": _OBJECT},
    "imagePullSecrets": {"type": "array", "items": _OBJECT},
    "replicas": {"type": "integer", "minimum": 0},
    "image": {
        "type": "object",
        "properties": {
            "repository": {"type": "string", "minLength": 1},
            "tag": {"type": "string"},
            "digest": {"type": "string", "pattern": "^(|[a-z0-9]+:[0-9a-f]{32,})$"},
        },
        "required": ["repository"],
        "additionalProperties": False,
    },
}


def put(tree: Tree, path: Sequence[str], value: Any) -> None:
    """Set a value; what is on the way becomes a map."""
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def ensure(tree: Tree, path: Sequence[str]) -> None:
    """Make sure that there is a map."""
    for part in path:
        tree = tree.setdefault(part, {})


def fill(tree: Tree, other: Mapping[str, Any]) -> None:
    """Add what is missing from another tree."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            fill(tree[key], value)
        else:
            tree.setdefault(key, value)


def under(tree: Tree, path: Sequence[str], only: Sequence[str] | None) -> Tree:
    """The tree with nothing but the keys ``only`` below a path; None for all."""
    if only is None:
        return tree
    if not path:
        return {k: v for k, v in tree.items() if k in only}
    return {path[0]: under(tree.get(path[0], {}), path[1:], only)}


def difference(base: Mapping[str, Any], own: Mapping[str, Any]) -> Tree:
    """What a values file says to make ``own`` of ``base``: null takes a key away."""
    result: Tree = {key: None for key in base if key not in own}
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            if inner := difference(base[key], value):
                result[key] = inner
        elif key not in base or base[key] != value or type(base[key]) is not type(value):
            result[key] = value
    return result


def schema(trees: Sequence[Mapping[str, Any]]) -> Tree:
    """JSON Schema of values that look like one of ``trees``. Unknown keys are refused: a typo would silently do nothing."""
    body = _schema([dict(t) for t in trees], ())
    return {"$schema": "https://json-schema.org/draft-07/schema#", **body, "properties": {"global": _OBJECT, **body["properties"]}}


def _schema(found: Sequence[Any], path: tuple[str, ...]) -> Tree:
    known = _FREE.get(path[-1]) if len(path) == 3 or path == ("imagePullSecrets",) else None
    if known is not None and all(_fits(v, known) for v in found):
        return known
    if not all(isinstance(v, dict) for v in found):
        types = sorted({_type(v) for v in found})
        return {"type": types[0]} if len(types) == 1 else {"type": types}
    keys = list(dict.fromkeys(key for v in found for key in v))
    fields = {key: _schema([v[key] for v in found if key in v], (*path, key)) for key in keys}
    return {"type": "object", "properties": fields, "additionalProperties": False}


def _fits(value: Any, known: Mapping[str, Any]) -> bool:
    if _type(value) != known["type"]:
        return False
    return set(value) <= set(known["properties"]) if "properties" in known else True


def _type(value: Any) -> str:
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else _TYPES[type(value)]
