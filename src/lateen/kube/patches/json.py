"""JSON patch (RFC 6902). Errors read as those of the library that Kubernetes uses (evanphx/json-patch)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lateen.kube.meta import edit

_MISSING = "missing value"
_INDEX = "invalid index referenced"


class PatchError(ValueError):
    """The patch cannot be carried out on this object (``test`` failed, a path is missing)."""


def json_patch(target: Any, operations: Any) -> Any:
    """``operations`` done on a copy of ``target``, all or none. PatchError, ValueError for a malformed patch."""
    if not isinstance(operations, list):
        raise ValueError("a JSON patch is a list of operations")
    document = {"": edit(target)}  # the document has a parent of its own, so that the path "" is no special case
    for operation in operations:
        _apply(document, operation)
    return document[""]


def _apply(document: dict[str, Any], operation: Any) -> None:
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        raise ValueError(f"an operation needs op and path: {operation}")
    do = _OPERATIONS.get(str(operation.get("op")))
    if do is None:
        raise ValueError(f"Unexpected kind: {operation.get('op')}")
    do(document, operation)


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise ValueError(f"{operation['op']} operation needs a value: {operation['path']}")
    return operation["value"]


def _parent(document: dict[str, Any], pointer: str, complaint: str) -> tuple[Any, str]:
    """What holds the last part of ``pointer``, and that part. PatchError with ``complaint`` if there is no such holder."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer")
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    value: Any = document
    for part in parts[:-1]:
        try:
            value = value[part] if isinstance(value, dict) else value[_index(value, part)]
        except (KeyError, PatchError) as error:
            raise PatchError(f"{complaint}: {_MISSING}") from error
    if not isinstance(value, dict | list):
        raise PatchError(f"{complaint}: {_MISSING}")
    return value, parts[-1]


def _index(items: Any, text: str, *, room: int = 0) -> int:
    """The index of an item; negative ones count from the end, as in Kubernetes."""
    number = int(text) if text.lstrip("-").isdecimal() and text.count("-") < 2 else None
    if number is None or not isinstance(items, list) or not -len(items) - room <= number < len(items) + room:
        raise PatchError(f"Unable to access invalid index: {text}: {_INDEX}")
    return number + len(items) + room if number < 0 else number


def _get(document: dict[str, Any], pointer: str, complaint: str) -> Any:
    holder, last = _parent(document, pointer, complaint)
    if isinstance(holder, list):
        return holder[_index(holder, last)]
    if last not in holder:
        raise PatchError(f"{complaint}: {_MISSING}")
    return holder[last]


def _add(document: dict[str, Any], pointer: str, value: Any, complaint: str) -> None:
    holder, last = _parent(document, pointer, complaint)
    if isinstance(holder, dict):
        holder[last] = value
    elif last == "-":
        holder.append(value)
    else:
        holder.insert(_index(holder, last, room=1), value)


def _remove(document: dict[str, Any], pointer: str, complaint: str) -> None:
    holder, last = _parent(document, pointer, complaint)
    if isinstance(holder, list):
        del holder[_index(holder, last)]
    elif last in holder:
        del holder[last]
    else:
        raise PatchError(f"error in remove for path: '{pointer}': Unable to remove nonexistent key: {last}: {_MISSING}")


def _do_add(document: dict[str, Any], operation: Mapping[str, Any]) -> None:
    path = operation["path"]
    _add(document, path, edit(_value(operation)), f'add operation does not apply: doc is missing path: "{path}"')


def _do_remove(document: dict[str, Any], operation: Mapping[str, Any]) -> None:
    path = operation["path"]
    _remove(document, path, f'remove operation does not apply: doc is missing path: "{path}"')


def _do_replace(document: dict[str, Any], operation: Mapping[str, Any]) -> None:
    path = operation["path"]
    _get(document, path, f"replace operation does not apply: doc is missing key: {path}")
    holder, last = _parent(document, path, "")
    holder[_index(holder, last) if isinstance(holder, list) else last] = edit(_value(operation))


def _do_move(document: dict[str, Any], operation: Mapping[str, Any]) -> None:
    value = _source(document, operation)
    _remove(document, operation["from"], "")
    _add(document, operation["path"], value, f"move operation does not apply: doc is missing destination path: {operation['path']}")


def _do_copy(document: dict[str, Any], operation: Mapping[str, Any]) -> None:
    value = edit(_source(document, operation))
    _add(document, operation["path"], value, f"copy operation does not apply: doc is missing destination path: {operation['path']}")


def _source(document: dict[str, Any], operation: Mapping[str, Any]) -> Any:
    pointer, op = operation.get("from"), operation["op"]
    if not isinstance(pointer, str):
        raise ValueError(f"{op} operation needs from: {operation['path']}")
    return _get(document, pointer, f"{op} operation does not apply: doc is missing from path: {pointer}")


def _do_test(document: dict[str, Any], operation: Mapping[str, Any]) -> None:
    path = operation["path"]
    holder, last = _parent(document, path, f"test operation does not apply: is missing path: {path}")
    found = holder.get(last) if isinstance(holder, dict) else holder[_index(holder, last)]
    if not same(found, operation.get("value")):
        raise PatchError(f"testing value {path} failed: test failed")


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values: unlike Python's, true is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)


_OPERATIONS: Mapping[str, Callable[[dict[str, Any], Mapping[str, Any]], None]] = {
    "add": _do_add,
    "remove": _do_remove,
    "replace": _do_replace,
    "move": _do_move,
    "copy": _do_copy,
    "test": _do_test,
}
