"""JSON patch (RFC 6902)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lateen.kube.meta import edit


class PatchError(ValueError):
    """The patch cannot be carried out on this object (``test`` failed, a path is missing)."""


def json_patch(target: Any, operations: Any) -> Any:
    """``operations`` done on a copy of ``target``, all or none. PatchError, ValueError for a malformed patch."""
    if not isinstance(operations, list):
        raise ValueError("a JSON patch is a list of operations")
    document = edit(target)
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    if not isinstance(operation, dict) or "op" not in operation or "path" not in operation:
        raise ValueError(f"an operation needs op and path: {operation}")
    op, path = operation["op"], _pointer(operation["path"])
    if op in ("add", "replace", "test") and "value" not in operation:
        raise ValueError(f"{op} operation needs a value")
    if op == "test":
        found = _get(document, path, missing_is_null=True)
        if found != operation["value"]:
            raise PatchError(f"testing value {operation['path']} failed: test failed")
        return document
    if op == "remove":
        return _remove(document, path)
    if op == "add":
        return _add(document, path, edit(operation["value"]))
    if op == "replace":
        _get(document, path)
        return _set(document, path, edit(operation["value"]))
    if op in ("move", "copy"):
        source = _pointer(operation.get("from", ""))
        value = edit(_get(document, source))
        if op == "move":
            document = _remove(document, source)
        return _add(document, path, value)
    raise ValueError(f"Unexpected kind: {op}")


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _step(value: Any, part: str, path: Sequence[str]) -> Any:
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
        return value[int(part)]
    raise PatchError(f"the path /{'/'.join(path)} does not exist: missing value")


def _get(document: Any, path: Sequence[str], *, missing_is_null: bool = False) -> Any:
    for i, part in enumerate(path):
        if missing_is_null and i == len(path) - 1 and isinstance(document, dict):
            return document.get(part)
        document = _step(document, part, path)
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else _index(last, len(parent) + 1, path)
        parent.insert(index, value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise PatchError(f"the path /{'/'.join(path)} does not exist: missing path")
    return document


def _set(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent[_index(last, len(parent), path)] = value
    else:
        parent[last] = value
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    _get(document, path)
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(last, len(parent), path)]
    else:
        del parent[last]
    return document


def _index(text: str, length: int, path: Sequence[str]) -> int:
    if not text.lstrip("-").isdigit() or not -length <= int(text) < length:
        raise PatchError(f"Unable to access invalid index: {text} in /{'/'.join(path)}")
    return int(text) % length if length else 0
