"""Label selectors of objects (matchLabels, matchExpressions) as predicates. Used by controllers, traffic, apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]


def nothing(_: Labels) -> bool:
    """A selector that is not set selects nothing."""
    return False


def from_map(wanted: Labels | None) -> Predicate:
    """The selector of a Service or ReplicationController: every label must be there; an empty one selects nothing."""
    if not wanted:
        return nothing
    items = tuple(wanted.items())
    return lambda labels: all(labels.get(k) == v for k, v in items)


def from_selector(selector: Mapping[str, Any] | None) -> Predicate:
    """A metav1.LabelSelector: None selects nothing, an empty one everything."""
    if selector is None:
        return nothing
    items = tuple((selector.get("matchLabels") or {}).items())
    expressions = tuple(_requirement(e) for e in selector.get("matchExpressions") or ())
    return lambda labels: all(labels.get(k) == v for k, v in items) and all(e(labels) for e in expressions)


def _requirement(expression: Mapping[str, Any]) -> Predicate:
    key, operator, values = expression["key"], expression["operator"], frozenset(expression.get("values") or ())
    if operator == "In":
        return lambda labels: key in labels and labels[key] in values
    if operator == "NotIn":
        return lambda labels: labels.get(key) not in values
    if operator == "Exists":
        return lambda labels: key in labels
    return lambda labels: key not in labels


def to_string(selector: Mapping[str, Any]) -> str:
    """The selector as a query parameter: ``a=b,c in (d,e),!f``."""
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for e in selector.get("matchExpressions") or ():
        values = ",".join(sorted(e.get("values") or ()))
        operator = e["operator"]
        form = {"In": f"{e['key']} in ({values})", "NotIn": f"{e['key']} notin ({values})", "Exists": e["key"]}
        parts.append(form.get(operator, f"!{e['key']}"))
    return ",".join(parts)
