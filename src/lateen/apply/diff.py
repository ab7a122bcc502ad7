"""The difference between a live object and what the server would make of it. Pure; fed by dry-run applies.

Both sides come from the server, with its defaults: what remains is a change somebody asked for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lateen.apply.refs import Ref
from lateen.kube.meta import Object

_IGNORED = (("metadata", "managedFields"), ("metadata", "resourceVersion"), ("metadata", "generation"), ("status",))
_KEYS = ("name", "type", "key", "containerPort", "port", "mountPath", "ip", "topologyKey", "uid")
Path = tuple[str | int, ...]


class Verb(StrEnum):
    """What happens to an object."""

    create = "create"
    update = "update"
    unchanged = "unchanged"
    delete = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One field: before and after; None means absent. Values of Secrets are hidden."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.path}: {self.after}"
        if self.after is None:
            return f"- {self.path}: {self.before}"
        return f"~ {self.path}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is to be done with one object."""

    ref: Ref
    verb: Verb
    changes: tuple[Change, ...] = ()


def compare(ref: Ref, live: Object | None, wanted: Object | None) -> Action:
    """The action that makes ``live`` into ``wanted`` (the answer of a dry-run apply; None if it could not be asked)."""
    if live is None:
        return Action(ref=ref, verb=Verb.create)
    found = tuple(_hide(c) if ref.kind == "Secret" else c for c in changes(live, wanted or {}))
    return Action(ref=ref, verb=Verb.update if found else Verb.unchanged, changes=found)


def changes(before: Any, after: Any, path: Path = ()) -> Iterator[Change]:
    """Every field that differs, in order of their paths. Lists of named items are compared item by item."""
    if path in _IGNORED or before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from changes(before.get(key), after.get(key), (*path, key))
        return
    if isinstance(before, list) and isinstance(after, list) and (key := _list_key(before, after)):
        one, other = _keyed(before, key), _keyed(after, key)
        if list(one) == list(other) or set(one) != set(other):
            for name in dict.fromkeys([*one, *other]):
                yield from changes(one.get(name), other.get(name), (*path[:-1], f"{path[-1]}[{name}]"))
            return
    yield Change(_dotted(path), before, after)


def _list_key(*lists: list[Any]) -> str:
    items = [item for found in lists for item in found]
    if not items or not all(isinstance(item, dict) for item in items):
        return ""
    for key in _KEYS:
        if all(key in item for item in items) and all(len(_keyed(found, key)) == len(found) for found in lists):
            return key
    return ""


def _keyed(items: list[Mapping[str, Any]], key: str) -> dict[str, Any]:
    return {str(item[key]): item for item in items}


def _dotted(path: Path) -> str:
    return ".".join(f'"{p}"' if "." in str(p) and "[" not in str(p) else str(p) for p in path)


def _hide(change: Change) -> Change:
    if not change.path.startswith(("data", "stringData")):
        return change
    return Change(change.path, _sized(change.before), _sized(change.after))


def _sized(value: Any) -> Any:
    if not isinstance(value, str):
        return value if value is None else "(hidden)"
    try:
        return f"({len(base64.b64decode(value))} bytes)"
    except binascii.Error:
        return "(hidden)"
