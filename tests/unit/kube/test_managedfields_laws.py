"""Laws of field ownership, over random objects of a custom type that has every shape of field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lateen.errors import ConflictError
from lateen.kube.managedfields import apply, track
from lateen.kube.managedfields.entries import Manager, read
from lateen.kube.managedfields.fieldset import SELF, Fields, fields_of, is_member
from lateen.kube.meta import Object, edit
from lateen.kube.schemas import from_openapi

_ITEM = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "v": {"type": "integer"}, "tags": {"type": "array", "items": {}}},
}
_KEYED = {"type": "array", "items": _ITEM, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}
_SPEC = {
    "count": {"type": "integer"},
    "keyed": _KEYED,
    "names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    "plain": {"type": "array", "items": {"type": "integer"}},
    "map": {"type": "object", "additionalProperties": {"type": "string"}},
    "whole": {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "inner": {"type": "object", "properties": {"keyed": _KEYED, "count": {"type": "integer"}}},
}
NODE = from_openapi({"type": "object", "properties": {"spec": {"type": "object", "properties": _SPEC}}})
NOW = "2026-01-01T00:00:00Z"

_NUMBERS, _WORDS = st.integers(0, 3), st.sampled_from("abc")
_KEYED_LISTS = st.dictionaries(
    _WORDS, st.fixed_dictionaries({}, optional={"v": _NUMBERS, "tags": st.lists(_NUMBERS, max_size=2)})
).map(lambda d: [{"id": k, **v} for k, v in d.items()])
_MAPS = st.dictionaries(_WORDS, _WORDS)
_FREE = st.recursive(_NUMBERS, lambda inner: st.dictionaries(_WORDS, inner, max_size=2) | st.lists(inner, max_size=2), max_leaves=4)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "count": _NUMBERS,
        "keyed": _KEYED_LISTS,
        "names": st.lists(_WORDS, unique=True),
        "plain": st.lists(_NUMBERS, max_size=2),
        "map": _MAPS,
        "whole": _MAPS,
        "free": st.dictionaries(_WORDS, _FREE, max_size=2),
        "inner": st.fixed_dictionaries({}, optional={"keyed": _KEYED_LISTS, "count": _NUMBERS}),
    },
)


def thing(spec: Object) -> Object:
    return {"apiVersion": "x/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}


def leaves(fields: Fields, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths with nothing below."""
    for step, sub in fields.items():
        if step != SELF:
            below = list(leaves(sub, (*at, step)))
            yield from below or [(*at, step)]


def members(fields: Fields, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for step, sub in fields.items():
        if step != SELF:
            if is_member(sub):
                yield (*at, step)
            yield from members(sub, (*at, step))


def said(obj: Object) -> set[tuple[str, ...]]:
    """The leaves of the spec."""
    return {p for p in leaves(fields_of(NODE, obj, containers=False)) if p[0] == "f:spec"}


def present(obj: Object) -> set[tuple[str, ...]]:
    """Every path of the object, the inner ones too."""
    found = said(obj)
    return {p[:n] for p in found for n in range(1, len(p) + 1)}


def owned(obj: Object) -> set[tuple[str, ...]]:
    return {p for e in read(obj) for p in members(e.fields)}


def write(old: Object | None, spec: Any, name: str) -> Object:
    new = thing(edit(spec))
    track(old, new, manager=Manager(name, "Update", "x/v1"), now=NOW, node=NODE)
    return new


def configure(live: Object | None, spec: Any, name: str, *, force: bool = True) -> Object:
    return apply(live, thing(edit(spec)), manager=Manager(name, "Apply", "x/v1"), force=force, now=NOW, node=NODE)


def check(obj: Object) -> None:
    """Nobody owns what is not there."""
    assert owned(obj) <= present(obj)


@given(st.lists(SPECS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_every_written_leaf_has_exactly_one_updater(specs: list[Any]) -> None:
    obj: Object | None = None
    for i, spec in enumerate(specs):
        obj = write(obj, spec, f"m{i % 2}")
        if not read(obj):
            return  # nothing was set at first: such an object stays untracked
        check(obj)
        for path in said(obj) - {("f:spec",)}:
            assert sum(path in set(members(e.fields)) for e in read(obj)) == 1, path


@given(st.lists(st.tuples(SPECS, st.sampled_from(["x", "y", "-z"])), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_appliers_get_what_they_say_and_own_it(steps: list[tuple[Any, str]]) -> None:
    live: Object | None = None
    for spec, name in steps:
        if name == "-z":
            live = write(live, spec, name)
            continue
        before = edit(live)
        result = configure(live, spec, name)
        assert live == before
        check(result)
        (mine,) = (e.fields for e in read(result) if e.manager.name == name)
        assert said(thing(spec)) <= present(result) & set(members(mine))
        assert configure(result, spec, name) == result
        live = result


@given(SPECS, SPECS)
@settings(max_examples=60, deadline=None)
def test_a_conflict_is_told_or_nothing_of_others_changes(first: Any, second: Any) -> None:
    live = configure(None, first, "x")
    try:
        result = configure(live, second, "y", force=False)
    except ConflictError as error:
        assert error.details["causes"]
        return
    theirs = next((e.fields for e in read(live) if e.manager.name == "x"), {})
    assert next((e.fields for e in read(result) if e.manager.name == "x"), {}) == theirs
    assert present(configure(result, first, "x", force=False)) == present(result)


@given(SPECS, SPECS)
@settings(max_examples=60, deadline=None)
def test_what_one_applier_alone_said_leaves_with_it(first: Any, second: Any) -> None:
    result = configure(configure(None, first, "x"), second, "x")
    assert present(result) == present(thing(second))
