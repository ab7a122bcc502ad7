"""The types of Kubernetes as a walkable tree: what patches, server-side apply, pruning, defaulting and field validation need.

``type_of`` gives the tree of a built-in kind from the package's extract, ``from_openapi`` that of a custom resource. Nodes are
built when they are first looked at, and shared; a type is one node however often it is used.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

from lateen.kube.meta import edit

REF = "#/components/schemas/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_SCALARS = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}
_GO = {"string": "string", "boolean": "bool", "integer": "int32", "number": "float64", "object": "map", "array": "[]"}


@cache
def definitions() -> Mapping[str, Any]:
    """Type name -> OpenAPI v3 schema, for every type of Kubernetes."""
    data = files("lateen.kube").joinpath("data/definitions.json.gz").read_bytes()
    found: Mapping[str, Any] = orjson.loads(gzip.decompress(data))
    return found


@cache
def _names() -> Mapping[tuple[str, str, str], str]:
    """(group, version, kind) -> type name."""
    return {
        (g.get("group", ""), g["version"], g["kind"]): name
        for name, schema in definitions().items()
        for g in schema.get("x-kubernetes-group-version-kind") or ()
    }


class SchemaNode:
    """One type. ``kind`` is object, array, string, integer, number, boolean, int-or-string or any."""

    def __init__(self, schema: Mapping[str, Any], *, custom: bool = False) -> None:
        reference = _reference(schema)
        # Facts beside a $ref (a patch strategy, a list type) are about the field, the rest about the type.
        self.schema: Mapping[str, Any] = {**definitions()[reference], **schema} if reference else schema
        self.type_name = reference
        self.custom = custom

    @cached_property
    def kind(self) -> str:
        s = self.schema
        if s.get("x-kubernetes-int-or-string") or s.get("format") == "int-or-string" or "oneOf" in s:
            return "int-or-string"
        kind = s.get("type")
        if kind is None:
            return "object" if "properties" in s or "additionalProperties" in s else "any"
        return "any" if kind == "object" and self.preserves and not s.get("properties") else str(kind)

    @cached_property
    def fields(self) -> Mapping[str, SchemaNode]:
        """Named fields of an object."""
        found = {n: _node(s, custom=self.custom) for n, s in (self.schema.get("properties") or {}).items()}
        if self.custom and self.schema.get("x-kubernetes-embedded-resource"):
            found |= {"metadata": _node({"$ref": REF + META}), "apiVersion": _STRING, "kind": _STRING}
        return found

    @cached_property
    def additional(self) -> SchemaNode | None:
        """The type of a map's values."""
        found = self.schema.get("additionalProperties")
        if isinstance(found, Mapping):
            return _node(found, custom=self.custom)
        return _ANY if found is True else None

    @cached_property
    def items(self) -> SchemaNode:
        """The type of a list's items."""
        found = self.schema.get("items")
        return _node(found, custom=self.custom) if isinstance(found, Mapping) else _ANY

    @cached_property
    def list_type(self) -> str:
        """``map`` (items are known by ``list_keys``), ``set``, ``atomic`` or empty (not said: atomic)."""
        return str(self.schema.get("x-kubernetes-list-type") or "")

    @cached_property
    def list_keys(self) -> tuple[str, ...]:
        return tuple(self.schema.get("x-kubernetes-list-map-keys") or ())

    @cached_property
    def map_type(self) -> str:
        """``granular``, ``atomic`` or empty (not said: granular)."""
        return str(self.schema.get("x-kubernetes-map-type") or "")

    @cached_property
    def patch_strategy(self) -> tuple[str, ...]:
        """``merge``, ``replace``, ``retainKeys`` (strategic merge patch)."""
        return tuple(s for s in str(self.schema.get("x-kubernetes-patch-strategy") or "").split(",") if s)

    @cached_property
    def patch_merge_key(self) -> str:
        return str(self.schema.get("x-kubernetes-patch-merge-key") or "")

    @cached_property
    def preserves(self) -> bool:
        """Whether unknown fields are kept here."""
        return bool(self.schema.get("x-kubernetes-preserve-unknown-fields")) or self.type_name.endswith(
            (".RawExtension", ".FieldsV1", ".v1.JSON")
        )

    def child(self, name: str) -> SchemaNode | None:
        """The type of the field or map value ``name``; None if the type has no such field."""
        return self.fields.get(name) or self.additional or (_ANY if self.kind == "any" or self.preserves else None)


def _reference(schema: Mapping[str, Any]) -> str:
    found = schema.get("$ref") or next((s["$ref"] for s in schema.get("allOf") or () if "$ref" in s), "")
    return str(found).rpartition("/")[2]


_CACHE: dict[str, SchemaNode] = {}


def _node(schema: Mapping[str, Any], *, custom: bool = False) -> SchemaNode:
    """The node of a schema; a bare reference shares the type's node."""
    if len(schema) == 1 and "$ref" in schema:
        name = _reference(schema)
        if name not in _CACHE:
            _CACHE[name] = SchemaNode(schema)
        return _CACHE[name]
    return SchemaNode(schema, custom=custom)


_ANY = SchemaNode({"x-kubernetes-preserve-unknown-fields": True})
_STRING = SchemaNode({"type": "string"})


@cache
def type_of(group: str, version: str, kind: str) -> SchemaNode | None:
    """The tree of a built-in kind, None if there is no such kind."""
    name = _names().get((group, version, kind))
    return _node({"$ref": REF + name}) if name else None


def from_openapi(schema: Mapping[str, Any]) -> SchemaNode:
    """The tree of a custom resource's openAPIV3Schema, with Kubernetes' own metadata in its root."""
    properties = {**(schema.get("properties") or {}), "apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    properties["metadata"] = {"$ref": REF + META}
    return SchemaNode({**schema, "type": "object", "properties": properties}, custom=True)


class Problem(NamedTuple):
    """A field that does not fit its type. ``reason`` is unknown (no such field) or type."""

    reason: str
    path: str
    message: str


def problems(node: SchemaNode, value: Any, path: str = "") -> Iterator[Problem]:
    """Unknown fields and values of a wrong type, in the order of the object. None fits everywhere, as in JSON decoding."""
    kind = node.kind
    if value is None or kind == "any":
        return
    if kind == "object":
        if not isinstance(value, dict):
            yield _mismatch(node, value, path)
            return
        for name, inner in value.items():
            where = f"{path}.{name}" if path else name
            child = node.child(name)
            if child is None:
                yield Problem("unknown", where, f'unknown field "{where}"')
            else:
                yield from problems(child, inner, where)
    elif kind == "array":
        if not isinstance(value, list):
            yield _mismatch(node, value, path)
            return
        items = node.items
        for i, inner in enumerate(value):
            yield from problems(items, inner, f"{path}[{i}]")
    elif not _fits(kind, value):
        yield _mismatch(node, value, path)


def missing(node: SchemaNode, value: Any, path: str = "") -> Iterator[Problem]:
    """Required fields that are not there, and items of lists that are nothing."""
    if isinstance(value, dict):
        for name in node.schema.get("required") or ():
            if value.get(name) is None:
                yield Problem("required", path, f"{path}.{name}: Required value" if path else f"{name}: Required value")
        for name, inner in value.items():
            if inner is not None and (child := node.child(name)) is not None:
                yield from missing(child, inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and node.kind == "array":
        items = node.items
        for i, inner in enumerate(value):
            if inner is None:
                yield Problem("required", f"{path}[{i}]", f"{path}[{i}]: Required value")
            else:
                yield from missing(items, inner, f"{path}[{i}]")


def _fits(kind: str, value: Any) -> bool:
    if kind == "int-or-string":
        return isinstance(value, str | int | float) and not isinstance(value, bool)
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _SCALARS[kind])  # type: ignore[arg-type]


def _mismatch(node: SchemaNode, value: Any, path: str) -> Problem:
    found = {bool: "bool", str: "string", int: "number", float: "number", dict: "object", list: "array"}[type(value)]
    wanted = "int64" if node.schema.get("format") == "int64" else _GO.get(node.kind, node.kind)
    return Problem("type", path, f"json: cannot unmarshal {found} into Go struct field .{path} of type {wanted}")


def prune(node: SchemaNode, value: Any) -> Any:
    """``value`` without what the type does not have, changed in place and returned (structural pruning)."""
    if isinstance(value, dict) and node.kind == "object":
        for name in [n for n in value if node.child(n) is None]:
            del value[name]
        for name, inner in value.items():
            child = node.child(name)
            if child is not None:
                prune(child, inner)
    elif isinstance(value, list) and node.kind == "array":
        for inner in value:
            prune(node.items, inner)
    return value


def apply_defaults(node: SchemaNode, value: Any) -> Any:
    """Fill in the schema's own ``default``s (custom resources), in place; the value."""
    if isinstance(value, dict):
        for name, child in node.fields.items():
            # A null where a default is and nulls are not allowed is as if it were not there.
            if "default" in child.schema and (name not in value or (value[name] is None and not child.schema.get("nullable"))):
                value[name] = edit(child.schema["default"])
        for name, inner in value.items():
            found = node.child(name)
            if found is not None:
                apply_defaults(found, inner)
    elif isinstance(value, list):
        for inner in value:
            apply_defaults(node.items, inner)
    return value
