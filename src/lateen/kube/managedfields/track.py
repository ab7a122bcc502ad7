"""Ordinary writes: what a create, update or patch changed belongs to its writer from then on."""

from __future__ import annotations

from collections.abc import Sequence

from lateen.kube.managedfields.compare import compare
from lateen.kube.managedfields.entries import STRIPPED, Entry, Manager, given, is_reset, read, without, written
from lateen.kube.managedfields.fieldset import Fields, difference, fields_of, union
from lateen.kube.meta import Object
from lateen.kube.schemas import SchemaNode

RESET = {"": ("status",), "status": ("spec",)}  # what a writer of the object (or of its status) does not come to own


def track(old: Object | None, new: Object, *, manager: Manager, now: str, node: SchemaNode | None, reset: bool = True) -> None:
    """Write ``metadata.managedFields`` of ``new`` (the caller's own). ``reset``: the kind has a status subresource.

    Entries that the writer edited count (but not through a subresource); a single empty entry forgets all ownership, and an
    object without any stays so until somebody applies.
    """
    metadata = new["metadata"]
    edited = metadata.pop("managedFields", None)
    if node is None or is_reset(edited):
        return
    if old is None:
        entries = [Entry(manager, owned(fields_of(node, new, containers=True), manager, reset), now)]
    else:
        stored = old["metadata"].get("managedFields")
        base = read(old)
        if edited and edited != stored and not manager.subresource:
            metadata["managedFields"] = edited
            base = given(new) or base
            stored = written(base)
        changed, removed = compare(node, old, new)
        changed, removed = owned(changed, manager, reset), difference(removed, STRIPPED)
        if not base or not (changed or removed):
            _put(metadata, stored)
            return
        entries = _after(base, changed, removed, manager=manager, now=now)
    _put(metadata, written(entries))


def _put(metadata: Object, stored: list[Object] | None) -> None:
    if stored:
        metadata["managedFields"] = stored
    else:
        metadata.pop("managedFields", None)


def _after(base: Sequence[Entry], changed: Fields, removed: Fields, *, manager: Manager, now: str) -> list[Entry]:
    """The entries once ``manager`` owns what changed and nobody what is removed."""
    others = without([e for e in base if e.manager != manager], union(changed, removed))
    mine = next((e for e in base if e.manager == manager), None)
    kept = difference(mine.fields, removed) if mine else {}
    return [*others, Entry(manager, union(kept, changed), now if changed or mine is None else mine.time)]


def owned(fields: Fields, manager: Manager, reset: bool) -> Fields:
    """``fields`` without what no writer, or not this one, comes to own."""
    fields = difference(fields, STRIPPED)
    if reset:
        fields = {k: v for k, v in fields.items() if k[2:] not in RESET.get(manager.subresource, ())}
    return {k: v for k, v in fields.items() if v or k != "f:metadata"}
