"""What differs between two versions of an object, as sets of fields. Walks only where they differ."""

from __future__ import annotations

from typing import Any

from lateen.kube.managedfields.fieldset import SELF, Fields, counts, fields_of, is_granular, item_step
from lateen.kube.schemas import SchemaNode


def compare(node: SchemaNode | None, old: Any, new: Any) -> tuple[Fields, Fields]:
    """(added or modified, removed) fields; empty when nothing differs."""
    changed: Fields = {}
    removed: Fields = {}
    _walk(node, old, new, changed, removed)
    return changed, removed


def _walk(node: SchemaNode | None, old: Any, new: Any, changed: Fields, removed: Fields) -> None:
    """Both are granular containers of the same shape."""
    if isinstance(old, dict):
        olds = {"f:" + k: (node.child(k) if node else None, v) for k, v in old.items()}
        news = {"f:" + k: (node.child(k) if node else None, v) for k, v in new.items()}
    else:
        assert node is not None
        olds = {s: (node.items, v) for v in old if (s := item_step(node, v)) is not None}
        news = {s: (node.items, v) for v in new if (s := item_step(node, v)) is not None}
    for step, (child, after) in news.items():
        if step not in olds:
            sub = fields_of(child, after, containers=True)
            changed[step] = {SELF: {}, **sub} if sub and (step[0] == "k" or counts(step[2:], child)) else sub
            continue
        before = olds[step][1]
        if before is after or before == after:
            continue
        if child is not None and _same_shape(child, before, after):
            inner: Fields = {}
            gone: Fields = {}
            _walk(child, before, after, inner, gone)
            if inner:
                changed[step] = inner
            if gone:
                removed[step] = gone
        else:
            sub = fields_of(child, after, containers=True)
            changed[step] = {SELF: {}, **sub} if sub else {}
            if lost := fields_of(child, before, containers=True):
                removed[step] = lost
    for step, (child, before) in olds.items():
        if step not in news:
            sub = fields_of(child, before, containers=True)
            removed[step] = {SELF: {}, **sub} if sub else {}


def _same_shape(node: SchemaNode, before: Any, after: Any) -> bool:
    if type(before) is not type(after):
        return False
    if not (is_granular(node, before) and is_granular(node, after)):
        return False
    return isinstance(before, dict) or all(item_step(node, i) is not None for i in (*before, *after))
