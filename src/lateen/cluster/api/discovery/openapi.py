"""OpenAPI v3: an index with hashes, and a document per group version with every type that its resources use.

kubectl reads these for validation, ``explain`` and patches. Of OpenAPI v2 there is only an empty document, as protobuf: kubectl
asks for it before it sends a ``kind: List``, finds no types to check against, and leaves checking to the server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from lateen.client.seam import Request
from lateen.cluster.api import statuses
from lateen.cluster.api.aggregation.table import Remotes
from lateen.cluster.api.call import Answer
from lateen.cluster.api.discovery.groups import Group, Version, groups, response_kind, subresources
from lateen.cluster.api.registry import Registry, Served
from lateen.cluster.api.version import VERSION
from lateen.kube.meta import Object
from lateen.kube.schemas import META, REF, definitions

if TYPE_CHECKING:
    from lateen.cluster.api.server import ApiServer

_GVK = "x-kubernetes-group-version-kind"
_V1 = "io.k8s.apimachinery.pkg.apis.meta.v1"
_LIST = ("allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch")
_WATCH = ("sendInitialEvents", "timeoutSeconds", "watch")
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC = "application/strategic-merge-patch+json"  # built-in kinds only: kubectl looks here before it sends one
_V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_BOOLEAN = ("allowWatchBookmarks", "sendInitialEvents", "watch", "force", "orphanDependents")
_INTEGER = ("limit", "timeoutSeconds", "gracePeriodSeconds")


class OpenApiCache:
    """Serialised documents of one registry generation."""

    def __init__(self) -> None:
        self._generation = -1
        self._documents: dict[str, bytes] = {}
        self._index = b""

    def refresh(self, registry: Registry) -> None:
        """Forget documents of an older registry."""
        if registry.generation != self._generation:
            self._generation, self._documents, self._index = registry.generation, {}, b""

    def index(self, registry: Registry, remotes: Remotes) -> bytes:
        """Every document's path, with a hash of what it is made from."""
        self.refresh(registry)
        if not self._index:
            paths = {}
            for group in groups(registry, remotes):
                for version in group.versions:
                    if found := _fingerprint(version):
                        url = f"/openapi/v3/{_path(group, version)}?hash={found}"
                        paths[_path(group, version)] = {"serverRelativeURL": url}
            self._index = orjson.dumps({"paths": paths})
        return self._index

    def document(self, registry: Registry, remotes: Remotes, path: str) -> bytes | None:
        """The document at ``apis/apps/v1``, None if there is none. Made when it is first asked for."""
        self.refresh(registry)
        if path not in self._documents:
            found = next(((g, v) for g in groups(registry, remotes) for v in g.versions if _path(g, v) == path), None)
            if found is None:
                return None
            self._documents[path] = orjson.dumps(document(*found))
        return self._documents[path]


def serve(server: ApiServer, request: Request) -> Answer:
    """``/openapi/v3`` and what lies below it."""
    parts = [p for p in request.path.split("/") if p]
    if parts == ["openapi", "v2"] and "protobuf" in request.accept:
        return Answer(raw=_v2(), content_type=_V2_TYPE)
    if parts[:2] != ["openapi", "v3"]:
        raise statuses.no_such_path()
    registry, remotes, cache = server.backend.registry, server.backend.remotes, server.openapi
    if len(parts) == 2:
        return Answer(raw=cache.index(registry, remotes))
    raw = cache.document(registry, remotes, "/".join(parts[2:]))
    if raw is None:
        raise statuses.no_such_path()
    return Answer(raw=raw, headers={"Cache-Control": "public, immutable"} if "hash" in request.query else {})


def _v2() -> bytes:
    """An OpenAPI v2 document without types, as protobuf (gnostic's Document: swagger, info, paths, definitions)."""

    def text(number: int, value: str) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value.encode()

    info = text(1, "Kubernetes") + text(2, VERSION["gitVersion"])
    return text(1, "2.0") + bytes([2 << 3 | 2, len(info)]) + info + bytes([8 << 3 | 2, 0, 9 << 3 | 2, 0])


def _path(group: Group, version: Version) -> str:
    return f"apis/{group.name}/{version.name}" if group.name else f"api/{version.name}"


def _fingerprint(version: Version) -> str:
    """What a document depends on: the resources, and the schemas of custom ones (built-in types change with the release).
    '' for an extension API server that has none."""
    if version.remote is not None:
        return version.described.openapi if version.described is not None else ""
    facts = [(repr(s.resource), s.node.schema if s.node is not None else None) for s in version.resources]
    return hashlib.sha256(orjson.dumps([VERSION, facts], default=str)).hexdigest().upper()


def document(group: Group, version: Version) -> Object:
    """The OpenAPI v3 document of one group version. Pure."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for served in version.resources:
        name = _type_name(served)
        if served.custom:
            schemas[name] = _custom_schema(served)
            _collect(schemas[name], schemas)
        else:
            _collect({"$ref": REF + name}, schemas)
        paths |= dict(_paths(served, name))
    for name in (f"{_V1}.DeleteOptions", f"{_V1}.Status"):
        _collect({"$ref": REF + name}, schemas)
    info = {"title": "Kubernetes", "version": f"v{VERSION['major']}.{VERSION['minor']}.0"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _type_name(served: Served) -> str:
    r = served.resource
    if served.custom:
        return ".".join([*reversed(r.group.split(".")), r.version, r.kind])
    wanted = {"group": r.group, "version": r.version, "kind": r.kind}
    return next((n for n, s in definitions().items() if wanted in (s.get(_GVK) or ())), "")


def _custom_schema(served: Served) -> Object:
    r = served.resource
    schema: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if served.node is not None:
        schema = dict(served.node.schema)
    properties = {**(schema.get("properties") or {}), "apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    properties["metadata"] = {"$ref": REF + META}
    return {**schema, "properties": properties, _GVK: [{"group": r.group, "version": r.version, "kind": r.kind}]}


def _collect(schema: Any, into: dict[str, Any]) -> None:
    """Every type that ``schema`` refers to, transitively."""
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in into and name in definitions():
                into[name] = definitions()[name]
                waiting.append(into[name])


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        found = value.get("$ref")
        if isinstance(found, str):
            yield found.rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _references(inner)


def _paths(served: Served, type_name: str) -> Iterator[tuple[str, Object]]:
    """The path items of one resource."""
    r, reference = served.resource, {"$ref": REF + type_name} if type_name else {"type": "object"}
    gvk = {"group": r.group, "version": r.version, "kind": r.kind}
    named, verbs = ["name"], set(r.verbs)
    spaced = ["namespace"] if r.namespaced else []
    base = r.path("{namespace}")
    collection = {
        "get": ("list", (*_LIST, *_WATCH)) if "list" in verbs else None,
        "post": ("create", _WRITE) if "create" in verbs else None,
        "delete": ("deletecollection", (*_LIST, "dryRun", "gracePeriodSeconds", "propagationPolicy"))
        if "deletecollection" in verbs
        else None,
    }
    item = {
        "get": ("get", ("resourceVersion",)) if "get" in verbs else None,
        "put": ("update", _WRITE) if "update" in verbs else None,
        "patch": ("patch", (*_WRITE, "force")) if "patch" in verbs else None,
        "delete": ("delete", ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"))
        if "delete" in verbs
        else None,
    }
    yield base, _item(collection, reference, gvk, spaced)
    if any(item.values()):
        yield f"{base}/{{name}}", _item(item, reference, gvk, named + spaced)
    if r.namespaced and "list" in verbs:
        yield r.path(), _item({"get": ("list", (*_LIST, *_WATCH))}, reference, gvk, [])
    for name, sub in subresources(served):
        group, version, kind = response_kind(served, sub)
        methods = {
            m.lower(): (v, _WRITE if m != "GET" else ())
            for m, v in (("GET", "get"), ("PUT", "update"), ("PATCH", "patch"), ("POST", "create"))
            if m in sub.methods
        }
        yield (
            f"{base}/{{name}}/{name}",
            _item(methods, reference, {"group": group, "version": version, "kind": kind}, named + spaced),
        )


def _item(
    methods: Mapping[str, tuple[str, tuple[str, ...]] | None],
    reference: Mapping[str, str],
    gvk: Mapping[str, str],
    places: list[str],
) -> Object:
    found: Object = {m: _operation(m, *what, reference, gvk) for m, what in methods.items() if what is not None}
    if places:
        found["parameters"] = [{"name": p, "in": "path", "required": True, "schema": {"type": "string"}} for p in places]
    return found


def _operation(method: str, action: str, options: tuple[str, ...], reference: Mapping[str, str], gvk: Mapping[str, str]) -> Object:
    operation: Object = {
        "parameters": [{"name": o, "in": "query", "schema": {"type": _option_type(o), "uniqueItems": True}} for o in options],
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": dict(reference)}}}},
        "x-kubernetes-action": {"create": "post", "update": "put"}.get(action, action),
        _GVK: dict(gvk),
    }
    if method in ("put", "post"):
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": dict(reference)}}}
    if method == "patch":
        builtin = reference.get("$ref", "").startswith(f"{REF}io.k8s.api")
        patches = (*_PATCHES, _STRATEGIC) if builtin else _PATCHES
        operation["requestBody"] = {"required": True, "content": {p: {"schema": {"type": "object"}} for p in patches}}
    return operation


def _option_type(name: str) -> str:
    return "boolean" if name in _BOOLEAN else "integer" if name in _INTEGER else "string"
