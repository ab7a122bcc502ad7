"""What differs between two versions of an object, as sets of fields. Walks only where they differ."""

from __future__ import annotations

from typing import Any

from lateen.kube.managedfields.fieldset import SELF, Fields, counts, fields_of, is_granular, item_step
from lateen.kube.schemas import SchemaNode

_ABSENT: Any = object()


def compare(node: SchemaNode | None, old: Any, new: Any) -> tuple[Fields, Fields]:
    """(added or modified, removed) fields; empty when nothing differs."""
    changed: Fields = {}
    removed: Fields = {}
    if isinstance(old, dict):
        _maps(node, old, new, changed, removed)
    elif node is not None:
        _lists(node, old, new, changed, removed)
    return changed, removed


def _maps(node: SchemaNode | None, old: dict[str, Any], new: dict[str, Any], changed: Fields, removed: Fields) -> None:
    for name, after in new.items():
        before = old.get(name, _ABSENT)
        if before is not after and before != after:
            child = node.child(name) if node is not None else None
            _differ(child, "f:" + name, before, after, changed, removed)
    for name, before in old.items():
        if name not in new:
            _gone(node.child(name) if node is not None else None, "f:" + name, before, removed)


def _lists(node: SchemaNode, old: list[Any], new: list[Any], changed: Fields, removed: Fields) -> None:
    """Lists of known items."""
    olds = {s: v for v in old if (s := item_step(node, v)) is not None}
    news = {s: v for v in new if (s := item_step(node, v)) is not None}
    for step, after in news.items():
        before = olds.get(step, _ABSENT)
        if before is not after and before != after:
            _differ(node.items, step, before, after, changed, removed)
    for step, before in olds.items():
        if step not in news:
            _gone(node.items, step, before, removed)


def _differ(node: SchemaNode | None, step: str, before: Any, after: Any, changed: Fields, removed: Fields) -> None:
    """One field or item that is new or has changed."""
    if before is not _ABSENT and node is not None and _same_shape(node, before, after):
        inner, gone = compare(node, before, after)
        if inner:
            changed[step] = inner
        if gone:
            removed[step] = gone
        return
    sub = fields_of(node, after, containers=True)
    member = before is not _ABSENT or step[0] == "k" or counts(step[2:], node)
    changed[step] = {SELF: {}, **sub} if sub and member else sub
    if before is not _ABSENT and (lost := fields_of(node, before, containers=True)):
        removed[step] = lost


def _gone(node: SchemaNode | None, step: str, before: Any, removed: Fields) -> None:
    sub = fields_of(node, before, containers=True)
    removed[step] = {SELF: {}, **sub} if sub else {}


def _same_shape(node: SchemaNode, before: Any, after: Any) -> bool:
    if type(before) is not type(after):
        return False
    if not (is_granular(node, before) and is_granular(node, after)):
        return False
    return isinstance(before, dict) or all(item_step(node, i) is not None for i in (*before, *after))
