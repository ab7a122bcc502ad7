"""Answers turned into Tables and into metadata-only objects. Used by ``presenting``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from lateen.cluster.api.registry import Served
from lateen.cluster.api.tables import cluster, core, network, pods, workloads
from lateen.cluster.api.tables.base import AGE, NAME, Column
from lateen.kube.meta import Object

_KINDS: Mapping[str, tuple[Column, ...]] = {**core.KINDS, **pods.KINDS, **workloads.KINDS, **network.KINDS, **cluster.KINDS}
_DEFAULT = (NAME, AGE)


def columns_for(served: Served) -> tuple[Column, ...]:
    """The kind's columns; Name and Age where it has none of its own."""
    return served.columns or _KINDS.get(served.collection, _DEFAULT)


def table(
    served: Served,
    objects: Iterable[Object],
    *,
    meta: Mapping[str, Any],
    now: datetime,
    include: str = "Metadata",
    head: bool = True,
) -> Object:
    """A Table of ``objects``. ``include`` is None, Metadata or Object; ``head`` says whether columns are described."""
    columns = columns_for(served)
    rows = []
    for obj in objects:
        stored = served.to_storage(obj) if served.converts and not served.custom else obj  # columns read the stored version
        row: dict[str, Any] = {"cells": [c.cell(stored, now) for c in columns]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = metadata_only(obj)
        rows.append(row)
    found: Object = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": dict(meta)}
    found["columnDefinitions"] = [c.definition() for c in columns] if head else None
    found["rows"] = rows
    return found


def metadata_only(obj: Object) -> Object:
    """The object's metadata as a PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj.get("metadata") or {}}
