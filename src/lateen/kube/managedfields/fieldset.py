"""Sets of fields in FieldsV1 form: ``{"f:spec": {"f:replicas": {}}}``, and the algebra on them.

An empty node is a member; a node with children is one only if it also holds ``"."``. Steps are ``f:<field>``, ``k:<keys of a
list item as JSON>``, ``v:<value as JSON>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from lateen.kube.schemas import SchemaNode

Fields = dict[str, Any]
SELF = "."
_ALWAYS = frozenset(("metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "resources"))
_DEFAULT_KEYS = {"protocol": "TCP"}  # list keys that may be left out: the default counts


def is_member(node: Fields) -> bool:
    """Whether the path to ``node`` itself is in the set."""
    return not node or SELF in node


def _combine(member: bool, children: Fields) -> Fields | None:
    if children:
        return {SELF: {}, **children} if member else children
    return {} if member else None


def union(a: Fields | None, b: Fields | None) -> Fields:
    """Paths in either set. A missing (None) set is empty; so is the empty root."""
    if not a or not b:
        return a or b or {}
    return _union(a, b)


def _union(a: Fields, b: Fields) -> Fields:
    if a is b:
        return a
    children: Fields = {}
    for step, sub in a.items():
        if step != SELF:
            children[step] = _union(sub, b[step]) if step in b else sub
    for step, sub in b.items():
        if step != SELF and step not in a:
            children[step] = sub
    return _combine(is_member(a) or is_member(b), children) or {}


def difference(a: Fields, b: Fields | None) -> Fields:
    """Paths in ``a`` and not in ``b``."""
    if not a or not b:
        return a
    result: Fields = {}
    for step, sub in a.items():
        found = _difference(sub, b[step]) if step in b else sub
        if found is not None:
            result[step] = found
    return result


def _difference(a: Fields, b: Fields) -> Fields | None:
    children: Fields = {}
    for step, sub in a.items():
        if step != SELF:
            found = _difference(sub, b[step]) if step in b else sub
            if found is not None:
                children[step] = found
    return _combine(is_member(a) and not is_member(b), children)


def intersection(a: Fields | None, b: Fields | None) -> Fields:
    """Paths in both sets."""
    if not a or not b:
        return {}
    found = ((step, _intersection(sub, b[step])) for step, sub in a.items() if step in b)
    return {step: sub for step, sub in found if sub is not None}


def _intersection(a: Fields, b: Fields) -> Fields | None:
    found = ((step, _intersection(sub, b[step])) for step, sub in a.items() if step != SELF and step in b)
    return _combine(is_member(a) and is_member(b), {step: sub for step, sub in found if sub is not None})


def item_step(node: SchemaNode, item: Any) -> str | None:
    """The step to an item of a map list or a set; None for lists whose items have no identity."""
    if node.list_type == "set":
        return "v:" + orjson.dumps(item).decode()
    if node.list_type == "map" and isinstance(item, dict):
        keys = {k: item.get(k, _DEFAULT_KEYS.get(k)) for k in node.list_keys}
        present = {k: v for k, v in keys.items() if v is not None}
        return "k:" + orjson.dumps(present, option=orjson.OPT_SORT_KEYS).decode() if present else None
    return None


def is_granular(node: SchemaNode, value: Any) -> bool:
    """Whether parts of ``value`` can have owners of their own."""
    if isinstance(value, dict):
        return node.kind in ("object", "any") and node.map_type != "atomic"
    return isinstance(value, list) and node.list_type in ("map", "set")


def fields_of(node: SchemaNode | None, value: Any, *, containers: bool) -> Fields:
    """Every field that ``value`` sets. ``containers``: maps and lists count as members themselves, as for ordinary writes."""
    if node is None or not value or not is_granular(node, value):
        return {}
    result: Fields = {}
    if isinstance(value, dict):
        for name, inner in value.items():
            sub = fields_of(node.child(name), inner, containers=containers)
            result["f:" + name] = {SELF: {}, **sub} if sub and containers and counts(name, node.child(name)) else sub
        return result
    for item in value:
        step = item_step(node, item)
        if step is None:
            return {}
        sub = fields_of(node.items, item, containers=containers) if step[0] == "k" else {}
        result[step] = {SELF: {}, **sub} if sub else {}
    return result


def counts(name: str, node: SchemaNode | None) -> bool:
    """Whether the field itself is owned beside what is in it: all but the structs that Go's types always hold, and free values."""
    return node is not None and node.kind in ("array", "object", "any") and name not in _ALWAYS


def paths(fields: Fields, prefix: str = "") -> Iterator[str]:
    """The members as people read them: ``.spec.containers[name="a"].image``."""
    for step, sub in fields.items():
        if step == SELF:
            continue
        where = prefix + _spoken(step)
        if is_member(sub):
            yield where
        yield from paths(sub, where)


def _spoken(step: str) -> str:
    kind, text = step[0], step[2:]
    if kind == "f":
        return "." + text
    if kind == "v":
        return f"[={text}]"
    keys = orjson.loads(text)
    return "[" + ",".join(f"{k}={orjson.dumps(v).decode()}" for k, v in keys.items()) + "]"
