"""Ordinary writes: what a create, update or patch changed belongs to its writer from then on."""

from __future__ import annotations

from lateen.kube.managedfields.compare import compare
from lateen.kube.managedfields.entries import STRIPPED, Entry, Manager, read, without, written
from lateen.kube.managedfields.fieldset import Fields, difference, fields_of, union
from lateen.kube.meta import Object
from lateen.kube.schemas import SchemaNode

RESET = {"": ("status",), "status": ("spec",)}  # what a writer of the object (or of its status) does not come to own


def track(old: Object | None, new: Object, *, manager: Manager, now: str, node: SchemaNode | None, reset: bool = True) -> None:
    """Write ``metadata.managedFields`` of ``new`` (the caller's own). ``reset``: the kind has a status subresource."""
    metadata = new["metadata"]
    if node is None:
        metadata.pop("managedFields", None)
        return
    if old is None:
        fields = _owned(fields_of(node, new, containers=True), manager, reset)
        metadata["managedFields"] = written([Entry(manager, fields, now)])
        return
    changed, removed = compare(node, old, new)
    changed, removed = _owned(changed, manager, reset), difference(removed, STRIPPED)
    entries = read(old)
    if changed or removed:
        others = without([e for e in entries if e.manager != manager], union(changed, removed))
        mine = next((e for e in entries if e.manager == manager), None)
        kept = difference(mine.fields, removed) if mine else {}
        fields = union(kept, changed)
        entries = [*others, Entry(manager, fields, now if changed or mine is None else mine.time)]
        metadata["managedFields"] = written(entries)
    elif "managedFields" in old["metadata"]:
        metadata["managedFields"] = old["metadata"]["managedFields"]
    else:
        metadata.pop("managedFields", None)


def _owned(fields: Fields, manager: Manager, reset: bool) -> Fields:
    fields = difference(fields, STRIPPED)
    if reset:
        fields = {k: v for k, v in fields.items() if k[2:] not in RESET.get(manager.subresource, ())}
    return {k: v for k, v in fields.items() if v or k != "f:metadata"}
