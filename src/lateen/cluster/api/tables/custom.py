"""Columns of custom resources: additionalPrinterColumns, each a JSON path. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from lateen.cluster.api.tables.base import AGE, NAME, Column, since
from lateen.kube.meta import Object

Step = Callable[[list[Any]], list[Any]]
_TOKEN = re.compile(
    r"""\.?\[\?\(@\.(?P<field>[\w.\-/]+)\s*(?P<op>==|!=)\s*["'](?P<text>[^"']*)["']\)\]"""
    r"""|\.?\[["'](?P<quoted>[^"']+)["']\]|\.?\[(?P<index>-?\d+|\*)\]|\.(?P<name>(?:[^.\[\\]|\\.)+)"""
)


def _field(name: str) -> Step:
    return lambda values: [v[name] for v in values if isinstance(v, dict) and name in v]


def _index(text: str) -> Step:
    if text == "*":
        return lambda values: [i for v in values for i in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else ())]
    at = int(text)
    return lambda values: [v[at] for v in values if isinstance(v, list) and -len(v) <= at < len(v)]


def _filter(field: str, equal: bool, text: str) -> Step:
    path = field.split(".")

    def matches(item: Any) -> bool:
        for part in path:
            item = item.get(part) if isinstance(item, dict) else None
        return item is not None and (str(item) == text) is equal

    return lambda values: [i for v in values if isinstance(v, list) for i in v if matches(i)]


def json_path(text: str) -> Callable[[Any], list[Any]]:
    """The values at a path of the kind printer columns use: ``.a.b``, ``[0]``, ``[*]``, ``['a']``, ``[?(@.type=="Ready")]``."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            return lambda _: []
        if found["field"]:
            steps.append(_filter(found["field"], found["op"] == "==", found["text"]))
        elif found["index"]:
            steps.append(_index(found["index"]))
        else:
            steps.append(_field(found["quoted"] or found["name"].replace("\\", "")))
        at = found.end()

    def find(value: Any) -> list[Any]:
        values = [value]
        for step in steps:
            values = step(values)
        return values

    return find


def _cell(kind: str, path: str) -> Callable[[Object, datetime], Any]:
    find = json_path(path)

    def cell(obj: Object, now: datetime) -> Any:
        values = [v for v in find(obj) if v is not None]
        if not values:
            return None
        value = values[0]
        if kind == "date":
            return since(str(value), now)
        if kind == "integer":
            return value if isinstance(value, int) else None
        if kind == "string":
            return ",".join(str(v).lower() if isinstance(v, bool) else str(v) for v in values)
        return value

    return cell


def custom_columns(found: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Name and the declared columns; Name and Age where none are declared."""
    columns = tuple(
        Column(
            str(c["name"]),
            _cell(str(c["type"]), str(c["jsonPath"])),
            type=str(c["type"]),
            format=str(c.get("format") or ""),
            priority=int(c.get("priority") or 0),
            description=str(c.get("description") or ""),
        )
        for c in found
    )
    return (NAME, *columns) if columns else (NAME, AGE)
