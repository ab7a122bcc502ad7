"""An answer in the form the client accepts: Table, metadata only, YAML. Plain JSON passes through untouched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from lateen.cluster.api.call import Answer, Backend, Call
from lateen.cluster.api.negotiation import Form, not_acceptable
from lateen.cluster.api.tables.build import metadata_only, table
from lateen.cluster.api.watching import Item
from lateen.kube.meta import Object

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def present(backend: Backend, call: Call, answer: Answer, form: Form) -> Answer:
    """The answer as ``form``. A Status (an error, a finished delete) stays a Status."""
    if answer.watch is not None:
        answer.watch.shape = _watch_shape(backend, call, form)
        return answer
    if answer.stream is not None or answer.raw is not None:
        return answer
    obj = answer.object()
    if form is Form.YAML:
        raw = yaml.dump(obj, Dumper=_Dumper, sort_keys=False, allow_unicode=True).encode()
        return Answer(status=answer.status, raw=raw, content_type="application/yaml", headers=answer.headers)
    if obj.get("kind") == "Status":
        return answer
    return Answer(status=answer.status, obj=_shaped(backend, call, obj, form), headers=answer.headers)


def _shaped(backend: Backend, call: Call, obj: Object, form: Form) -> Object:
    is_list = "items" in obj and str(obj.get("kind", "")).endswith("List")
    items = obj["items"] if is_list else [obj]
    if form is Form.TABLE:
        meta = obj["metadata"] if is_list else {"resourceVersion": (obj.get("metadata") or {}).get("resourceVersion", "")}
        return table(call.served, items, meta=meta, now=backend.clock.now(), include=call.option("includeObject", "Metadata"))
    if form is Form.METADATA and not is_list:
        return metadata_only(obj)
    if form in (Form.METADATA_LIST, Form.METADATA) and is_list:
        kind = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        return {**kind, "items": [metadata_only(o) for o in items]}
    raise not_acceptable()


def _watch_shape(backend: Backend, call: Call, form: Form) -> Callable[[Item], Item] | None:
    """What each event of a watch becomes. Only the first Table describes its columns."""
    if form in (Form.METADATA, Form.METADATA_LIST):
        return lambda item: Item(item.type, None, metadata_only(item.object()))
    if form is not Form.TABLE:
        return None
    first, include = True, call.option("includeObject", "Metadata")

    def shape(item: Item) -> Item:
        nonlocal first
        obj = item.object()
        rows = [] if item.type == "BOOKMARK" else [obj]
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        if item.type == "BOOKMARK" and "annotations" in obj["metadata"]:
            meta = obj["metadata"]
        made = table(call.served, rows, meta=meta, now=backend.clock.now(), include=include, head=first)
        first = first and not rows
        return Item(item.type, None, made)

    return shape
