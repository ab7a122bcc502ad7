"""The difference of two objects as a patch: a merge patch where only maps differ, since people can read that; else a JSON patch.

A JSON patch is exact everywhere: list merge keys, which a merge patch of lists needs, are unknown for custom resources.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Op = dict[str, Any]


def merge_patch(old: Any, new: Any) -> dict[str, Any] | None:
    """What to lay over ``old`` to get ``new``; None where a list or a type differs, which no merge patch says exactly."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            if value is None:
                return None
            patch[key] = value
        elif isinstance(value, dict) and isinstance(old[key], dict):
            inner = merge_patch(old[key], value)
            if inner is None:
                return None
            if inner:
                patch[key] = inner
        elif not same(old[key], value):
            if isinstance(value, list | dict) or isinstance(old[key], list | dict) or value is None:
                return None
            patch[key] = value
    return patch


def operations(old: Any, new: Any, path: str = "") -> Iterator[Op]:
    """The JSON patch (RFC 6902) that makes ``new`` of ``old``."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _of_map(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_list(old, new, path)
    elif not same(old, new):
        yield {"op": "replace", "path": path, "value": new}


def same(old: Any, new: Any) -> bool:
    """Equal, and of one type: 1 is not true."""
    return type(old) is type(new) and bool(old == new)


def _of_map(old: dict[str, Any], new: dict[str, Any], path: str) -> Iterator[Op]:
    for key in old:
        if key not in new:
            yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
    for key, value in new.items():
        if key in old:
            yield from operations(old[key], value, f"{path}/{_escaped(key)}")
        else:
            yield {"op": "add", "path": f"{path}/{_escaped(key)}", "value": value}


def _of_list(old: list[Any], new: list[Any], path: str) -> Iterator[Op]:
    """Items at the same place are changed in place; a longer or shorter list changes between its common head and tail."""
    if len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from operations(a, b, f"{path}/{i}")
        return
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
    for i in reversed(range(head, len(old) - tail)):
        yield {"op": "remove", "path": f"{path}/{i}"}
    for i in range(head, len(new) - tail):
        yield {"op": "add", "path": f"{path}/{i}", "value": new[i]}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
