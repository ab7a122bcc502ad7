"""The list ``metadata.managedFields``: one entry per manager, operation, version and subresource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lateen.kube.managedfields.fieldset import Fields, difference
from lateen.kube.meta import Object

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


@dataclass(frozen=True, slots=True)
class Entry:
    """The fields of one manager, and when they last changed."""

    manager: Manager
    fields: Fields
    time: str


def read(obj: Object) -> list[Entry]:
    """The entries of an object."""
    return [_entry(e) for e in (obj.get("metadata") or {}).get("managedFields") or ()]


def _entry(raw: Mapping[str, Any]) -> Entry:
    manager = Manager(raw.get("manager", ""), raw.get("operation", "Update"), raw.get("apiVersion", ""), raw.get("subresource", ""))
    return Entry(manager, raw.get("fieldsV1") or {}, raw.get("time", ""))


def written(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The list to store: empty entries left out, Apply first, then by time and name."""
    ordered = sorted((e for e in entries if e.fields), key=lambda e: (e.manager.operation, e.time, e.manager))
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


def without(entries: Iterable[Entry], gone: Fields) -> list[Entry]:
    """The entries without the fields ``gone``."""
    return [replace(e, fields=difference(e.fields, gone)) for e in entries] if gone else list(entries)
