"""The patches that make one object of another: a strategic merge patch where it can say it, JSON operations for the rest.

The two touch different fields, so their order does not matter; except for renamed containers, which come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lateen.kube.meta import Object, edit
from lateen.kube.patches.json import json_patch
from lateen.kube.patches.strategic import strategic_merge
from lateen.kube.schemas import SchemaNode, type_of
from lateen.render.targets.delta import operations, same

Op = dict[str, Any]


def split(old: Object, new: Object) -> tuple[list[Op], dict[str, Any], list[Op]]:
    """Operations that come first, a merge patch, and operations for what it cannot say."""
    renames = list(_renames(old, new, ""))
    start: Object = json_patch(edit(old), renames) if renames else old
    operations: list[Op] = []
    merge = _map(start, new, type_of_object(old), "", operations)
    return renames, merge, operations


def type_of_object(obj: Object) -> SchemaNode | None:
    """The type by which lists merge; None for custom resources."""
    group, _, version = str(obj["apiVersion"]).rpartition("/")
    return type_of(group, version, str(obj["kind"]))


def _renames(old: Any, new: Any, path: str) -> Iterator[Op]:
    """The name of the object, and of its first container and volumes of claims: everything else is found by these."""
    if old.get("metadata", {}).get("name") != new.get("metadata", {}).get("name"):
        yield {"op": "replace", "path": "/metadata/name", "value": new["metadata"]["name"]}
    for place in ("/spec/template/spec", "/spec/jobTemplate/spec/template/spec"):
        a, b = _at(old, place), _at(new, place)
        if isinstance(a, dict) and isinstance(b, dict):
            mine, wanted = a["containers"][0]["name"], b["containers"][0]["name"]
            if mine != wanted:
                yield {"op": "replace", "path": f"{place}/containers/0/name", "value": wanted}


def _at(value: Any, path: str) -> Any:
    for step in path.strip("/").split("/"):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _map(old: Mapping[str, Any], new: Mapping[str, Any], node: SchemaNode | None, path: str, rest: list[Op]) -> dict[str, Any]:
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        child = node.child(name) if node is not None else None
        at = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in old:
            patch[name] = value
        elif isinstance(value, dict) and isinstance(old[name], dict):
            if inner := _map(old[name], value, child, at, rest):
                patch[name] = inner
        elif isinstance(value, list) and isinstance(old[name], list):
            if old[name] == value:
                continue
            if (items := _list(old[name], value, child)) is not None:
                patch[name] = items
            else:
                rest += operations(old[name], value, at)
        elif not same(old[name], value):
            patch[name] = value
    return patch


def _list(old: list[Any], new: list[Any], node: SchemaNode | None) -> list[Any] | None:
    """The patch of a list whose items have keys; None where it would not give exactly ``new``."""
    if node is None or "merge" not in node.patch_strategy or not node.patch_merge_key:
        return None
    name = node.patch_merge_key
    if not all(isinstance(i, dict) and name in i for i in (*old, *new)):
        return None
    before, after = {i[name]: i for i in old}, {i[name]: i for i in new}
    if len(before) != len(old) or len(after) != len(new):
        return None
    patch: list[Any] = [{name: k, "$patch": "delete"} for k in before if k not in after]
    for k, item in after.items():
        if k not in before:
            patch.append(item)
            continue
        rest: list[Op] = []
        inner = _map(before[k], item, node.items, "", rest)
        if rest:
            return None
        if inner:
            patch.append({name: k, **inner})
    holder = strategic_merge({"x": old}, {"x": patch}, _Holder(node))  # type: ignore[arg-type] # only child() is asked for
    return patch if holder["x"] == new else None


class _Holder:
    """A type with one field."""

    def __init__(self, node: SchemaNode) -> None:
        self._node = node

    def child(self, name: str) -> SchemaNode:
        return self._node


def common(patches: list[dict[str, Any]]) -> dict[str, Any]:
    """What all the merge patches say alike, lists aside."""
    first, *others = patches
    result: dict[str, Any] = {}
    for name, value in first.items():
        if name.startswith("$") or not all(name in o for o in others):
            continue
        values = [o[name] for o in others]
        if isinstance(value, dict) and all(isinstance(v, dict) for v in values):
            if inner := common([value, *values]):
                result[name] = inner
        elif not isinstance(value, dict | list) and all(same(v, value) for v in values):
            result[name] = value
    return result


def without(patch: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """The patch without what is said already."""
    result: dict[str, Any] = {}
    for name, value in patch.items():
        if name not in shared:
            result[name] = value
        elif isinstance(value, dict) and (inner := without(value, shared[name])):
            result[name] = inner
    return result
