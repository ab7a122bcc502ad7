"""The list ``metadata.managedFields``: one entry per manager, operation, version and subresource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lateen.kube.managedfields.fieldset import Fields, difference, union
from lateen.kube.meta import Object

_MOST_UPDATERS, _ANCIENT = 10, "ancient-changes"
# What nobody owns: identity, and what the server itself keeps.
_META = (
    *("name", "namespace", "uid", "creationTimestamp", "selfLink", "generation", "managedFields", "resourceVersion"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "generateName"),
)
STRIPPED: Fields = {"f:apiVersion": {}, "f:kind": {}, "f:metadata": {f"f:{n}": {} for n in _META}}


class Manager(NamedTuple):
    """Who writes, how (Apply or Update), in which version, through which subresource."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def same(self, other: Manager) -> bool:
        """Whether both are one manager: who applies is known whatever the version."""
        return self == (other if self.operation == "Update" else other._replace(api_version=self.api_version))


@dataclass(frozen=True, slots=True)
class Entry:
    """The fields of one manager, and when they last changed."""

    manager: Manager
    fields: Fields
    time: str


def read(obj: Object) -> list[Entry]:
    """The entries of an object."""
    return [_entry(e) for e in (obj.get("metadata") or {}).get("managedFields") or ()]


def is_reset(raw: Any) -> bool:
    """Whether a writer asks to forget all ownership: a list of one empty entry."""
    return isinstance(raw, list) and len(raw) == 1 and not raw[0]


def given(obj: Object) -> list[Entry]:
    """The entries of a written object, which may have been edited on purpose; none if they cannot be read."""
    raw = (obj.get("metadata") or {}).get("managedFields") or ()
    sound = isinstance(raw, list) and all(
        isinstance(e, dict) and e.get("operation") in ("Apply", "Update") and isinstance(e.get("fieldsV1"), dict) for e in raw
    )
    return [_entry(e) for e in raw] if sound else []


def _entry(raw: Mapping[str, Any]) -> Entry:
    manager = Manager(raw.get("manager", ""), raw.get("operation", "Update"), raw.get("apiVersion", ""), raw.get("subresource", ""))
    return Entry(manager, raw.get("fieldsV1") or {}, raw.get("time", ""))


def written(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The list to store: no empty entries, Apply first, then by time and name; old Update managers beyond ten share one entry."""
    ordered = sorted((e for e in entries if e.fields), key=lambda e: (e.manager.operation, e.time, e.manager))
    if len(ordered) > _MOST_UPDATERS:
        ordered = _capped(ordered)
    return [
        {
            "manager": e.manager.name,
            "operation": e.manager.operation,
            "apiVersion": e.manager.api_version,
            "time": e.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": e.fields,
        }
        | ({"subresource": e.manager.subresource} if e.manager.subresource else {})
        for e in ordered
    ]


def _capped(entries: list[Entry]) -> list[Entry]:
    """The oldest Update entries of a version merged into one of ``ancient-changes``, until there are ten."""
    updaters = [e for e in entries if e.manager.operation == "Update"]
    surplus = len(updaters) - _MOST_UPDATERS
    buckets: dict[str, Entry] = {}
    for entry in updaters if surplus > 0 else ():
        version = entry.manager.api_version
        before = buckets.get(version)
        if before is not None:
            surplus -= 1
            entries.remove(before)
            entries.remove(entry)
            merged = Entry(Manager(_ANCIENT, "Update", version), union(before.fields, entry.fields), entry.time)
            entries.append(merged)
            entry = merged
        buckets[version] = entry
        if surplus <= 0:
            break
    return sorted(entries, key=lambda e: (e.manager.operation, e.time, e.manager))


def without(entries: Iterable[Entry], gone: Fields) -> list[Entry]:
    """The entries without the fields ``gone``."""
    return [replace(e, fields=difference(e.fields, gone)) for e in entries] if gone else list(entries)
