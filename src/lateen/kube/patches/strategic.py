"""Strategic merge patch: merge patch that knows which lists are sets of things with a key.

Follows apimachinery's strategicpatch: directives $patch (replace, delete, merge), $deleteFromPrimitiveList,
$setElementOrder, $retainKeys; merge keys and strategies come from the type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lateen.kube.meta import edit
from lateen.kube.schemas import SchemaNode

_ORDER, _DELETE, _RETAIN = "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"


def strategic_merge(target: Any, patch: Any, node: SchemaNode | None) -> Any:
    """``patch`` laid over a copy of ``target`` by the type ``node``. ValueError for a wrong directive or a missing merge key."""
    if not isinstance(patch, dict) or not isinstance(target, dict | None):
        return edit(patch)
    return _map(edit(target) or {}, patch, node)


def _map(target: dict[str, Any], patch: dict[str, Any], node: SchemaNode | None) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return {k: edit(v) for k, v in patch.items() if k != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise ValueError(f"Unknown patch type {directive} found in the patch")
    result = dict(target)
    if (retained := patch.get(_RETAIN)) is not None:
        unlisted = [k for k in patch if not k.startswith("$") and k not in retained]
        if unlisted:
            raise ValueError(f"$retainKeys does not list {unlisted[0]}, which the patch sets")
        result = {k: v for k, v in result.items() if k in retained}
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        child = node.child(name) if node is not None else None
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            below = result.get(name)
            result[name] = _map(below if isinstance(below, dict) else {}, value, child)
        elif isinstance(value, list):
            result[name] = _list(result.get(name), value, child)
        else:
            result[name] = edit(value)
    return _ordered(_thinned(result, patch), patch, node)


def _thinned(result: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    for name, gone in patch.items():
        if name.startswith(_DELETE):
            field = name[len(_DELETE) :]
            result[field] = [v for v in result.get(field) or () if v not in gone]
    return result


def _list(target: Any, patch: list[Any], node: SchemaNode | None) -> list[Any]:
    merges = node is not None and "merge" in node.patch_strategy
    if not merges or node is None:
        return [edit(v) for v in patch if not (isinstance(v, dict) and "$patch" in v and len(v) == 1)]
    current = list(target) if isinstance(target, list) else []
    if not node.patch_merge_key:
        return current + [edit(v) for v in patch if v not in current]
    return _keyed(current, patch, node, node.patch_merge_key)


def _keyed(current: list[Any], patch: list[Any], node: SchemaNode, key: str) -> list[Any]:
    if any(isinstance(v, dict) and v.get("$patch") == "replace" for v in patch):
        return [edit(v) for v in patch if v.get("$patch") != "replace" or len(v) > 1]
    result = list(current)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise ValueError(f"map: {item} does not contain declared merge key: {key}")
        at = next((i for i, old in enumerate(result) if isinstance(old, dict) and old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append(_map({}, item, node.items))
        else:
            result[at] = _map(result[at], item, node.items)
    return result


def _ordered(result: dict[str, Any], patch: dict[str, Any], node: SchemaNode | None) -> dict[str, Any]:
    for name, order in patch.items():
        if not name.startswith(_ORDER):
            continue
        field = name[len(_ORDER) :]
        child = node.child(field) if node is not None else None
        items = result.get(field)
        if isinstance(items, list) and isinstance(order, list):
            result[field] = _by_order(items, order, child.patch_merge_key if child is not None else "")
    return result


def _by_order(items: list[Any], order: Sequence[Any], key: str) -> list[Any]:
    """Listed items in the listed order; each of the others stays behind the one it stood behind."""
    wanted = [o.get(key) if key and isinstance(o, dict) else o for o in order]

    def name(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    listed = {id(item) for item in items if name(item) in wanted}
    result = sorted((i for i in items if id(i) in listed), key=lambda i: wanted.index(name(i)))
    for at, item in enumerate(items):
        if id(item) not in listed:
            before = next((result.index(p) for p in reversed(items[:at]) if p in result), -1)
            result.insert(before + 1, item)
    return result
