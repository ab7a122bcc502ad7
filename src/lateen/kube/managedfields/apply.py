"""Server-side apply: merge an applied configuration into the live object, by who owns what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lateen.errors import ConflictError
from lateen.kube.managedfields import lastapplied
from lateen.kube.managedfields.compare import compare
from lateen.kube.managedfields.entries import STRIPPED, Entry, Manager, read, without, written
from lateen.kube.managedfields.fieldset import (
    SELF,
    Fields,
    difference,
    fields_of,
    intersection,
    is_granular,
    is_member,
    item_step,
    paths,
    union,
)
from lateen.kube.managedfields.track import owned
from lateen.kube.meta import Object, edit
from lateen.kube.schemas import SchemaNode


def apply(
    live: Object | None, config: Object, *, manager: Manager, force: bool, now: str, node: SchemaNode | None, reset: bool = True
) -> Object:
    """The object after applying ``config``; neither argument is changed.

    Fields that ``manager`` applied before and does not apply any more are removed, unless somebody else owns them. Raises
    ConflictError when a field would change that another manager owns; ``force`` takes it.
    """
    if node is None:
        whole: Object = edit(config) if live is None else merge(None, live, config)
        return whole
    config = _clean(config)
    fields = owned(fields_of(node, config, containers=False), manager, reset)
    if live is None:
        result: Object = edit(config)
        result["metadata"]["managedFields"] = written([Entry(manager, fields, now)])
        return result
    entries = read(live) or _before_first(node, live, manager=manager, now=now, reset=reset)
    merged: Object = merge(node, live, config)
    changed = union(*compare(node, live, merged))
    allowed = lastapplied.said_before(node, live) if manager.name == lastapplied.MANAGER else {}
    others = [e for e in entries if not e.manager.same(manager)]
    others = _settled(others, changed, force=force, allowed=allowed)
    mine = next((e for e in entries if e.manager.same(manager)), None)
    if mine is not None:
        _prune(node, merged, difference(mine.fields, fields), others=[e.fields for e in others], mine=fields)
    same = mine is not None and mine.fields == fields
    entries = [*others, Entry(manager, fields, mine.time if mine is not None and same else now)]
    merged["metadata"]["managedFields"] = written(entries)
    if manager.name == lastapplied.MANAGER:
        lastapplied.keep_up(merged, config)
    return merged


def _before_first(node: SchemaNode, live: Object, *, manager: Manager, now: str, reset: bool) -> list[Entry]:
    """Nobody is known to own an object that was written without tracking: then all of it has an owner of that name."""
    writer = Manager("before-first-apply", "Update", manager.api_version)
    return [Entry(writer, owned(fields_of(node, live, containers=True), writer, reset), now)]


def _clean(config: Object) -> Object:
    """The configuration without nulls and without what the server keeps."""
    result: Object = _without_nulls(config)
    result["metadata"] = {k: v for k, v in result["metadata"].items() if k not in ("managedFields",)}
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def _settled(others: Sequence[Entry], changed: Fields, *, force: bool, allowed: Fields) -> list[Entry]:
    """The other managers' entries after this change; ConflictError if it would take their fields, but those ``allowed``, without
    ``force``."""
    changed = difference(changed, STRIPPED)
    conflicts = [(e, found) for e in others if (found := difference(intersection(e.fields, changed), allowed))]
    if conflicts and not force:
        raise _conflict(conflicts)
    return without(others, changed)


def _conflict(conflicts: Sequence[tuple[Entry, Fields]]) -> ConflictError:
    found = sorted((_spoken(e.manager), sorted(paths(fields))) for e, fields in conflicts)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": p} for who, where in found for p in where
    ]
    if len(causes) == 1:
        who, where = found[0]
        text = f"1 conflict: conflict with {who}: {where[0]}"
    else:
        groups = ("\n".join((f"conflicts with {who}:", *(f"- {p}" for p in where))) for who, where in found)
        text = f"{len(causes)} conflicts: " + "\n".join(groups)
    return ConflictError(f"Apply failed with {text}", details={"causes": causes})


def _spoken(manager: Manager) -> str:
    """A manager in a conflict's message."""
    through = f' with subresource "{manager.subresource}"' if manager.subresource else ""
    return f'"{manager.name}"{through}' + (f" using {manager.api_version}" if manager.operation == "Update" else "")


def merge(node: SchemaNode | None, live: Any, config: Any) -> Any:
    """``config`` over ``live``: maps merge, lists of known items merge, everything else is replaced."""
    if isinstance(live, dict) and isinstance(config, dict) and (node is None or is_granular(node, config)):
        result = {k: edit(v) for k, v in live.items() if k not in config}
        for name, value in config.items():
            child = node.child(name) if node is not None else None
            result[name] = merge(child, live[name], value) if name in live else edit(value)
        return {k: result[k] for k in [*live, *(c for c in config if c not in live)]}
    if isinstance(live, list) and isinstance(config, list) and node is not None and is_granular(node, config):
        return _merged_list(node, live, config)
    return edit(config)


def _merged_list(node: SchemaNode, live: list[Any], config: list[Any]) -> list[Any]:
    """Applied items in their order; each of the others stays behind the one it stood behind."""
    before = {item_step(node, i): i for i in live}
    order = [item_step(node, i) for i in config]
    if None in before or None in order:
        return list(edit(config))
    items = {s: merge(node.items, before[s], i) if s in before else edit(i) for s, i in zip(order, config, strict=True)}
    result = list(dict.fromkeys(order))
    previous: str | None = None
    for step in before:
        if step not in items:
            result.insert(result.index(previous) + 1 if previous is not None else 0, step)
            items[step] = edit(before[step])
        previous = step
    return [items[s] for s in result]


def _prune(node: SchemaNode | None, value: Any, gone: Fields, *, others: Sequence[Fields], mine: Fields) -> None:
    """Remove from ``value``, in place, the fields ``gone`` that nobody else owns, and in which nobody owns anything any more."""
    owned: Fields = mine
    for fields in others:
        gone, owned = difference(gone, fields), union(owned, fields)
    _remove(node, value, gone, owned)


def _remove(node: SchemaNode | None, value: Any, gone: Fields, owned: Fields) -> None:
    if node is None or not gone:
        return
    if isinstance(value, dict):
        for step, sub in gone.items():
            name = step[2:]
            if step == SELF or name not in value:
                continue
            below = owned.get(step)
            if is_member(sub) and below is None:
                del value[name]
            elif isinstance(value[name], dict | list):
                _remove(node.child(name), value[name], sub, below or {})
                if not value[name] and below is None:
                    del value[name]
    elif isinstance(value, list):
        dropped = {s for s, sub in gone.items() if s != SELF and is_member(sub) and s not in owned}
        for item in value:
            step = item_step(node, item) or ""
            if step in gone and step not in dropped:
                keys = {f"f:{k}" for k in node.list_keys}  # an item that stays keeps its name
                _remove(node.items, item, {s: f for s, f in gone[step].items() if s not in keys}, owned.get(step) or {})
        value[:] = [i for i in value if item_step(node, i) not in dropped]
