"""Validation of custom resources by their schema, in the words of Kubernetes' own validator (kube-openapi).

``custom_rule`` compiles a CustomResourceDefinition's openAPIV3Schema once; the API server keeps the rule beside the resource. What
the schema does not name is pruned before (``kube.schemas``). CEL rules (x-kubernetes-validations) are not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema_rs import Draft4Validator, ValidationError

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, Rule, metadata
from lateen.kube.validation.errors import TOO_MANY, FieldError, duplicate, invalid, required, too_long, unsupported

Path = Sequence[str | int]

_COPIED = (
    "type", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "required",
)  # fmt: skip
_FORMATS = ("date-time", "date", "email", "hostname", "ipv4", "ipv6", "uri", "uuid")
_MISSING = object()
_TYPES = {bool: "boolean", str: "string", int: "integer", float: "number", dict: "object", list: "array", type(None): "null"}

# Findings that are told as "<path> in body <these words>"; ``{}`` is the limit.
_LIMITS = {
    "Minimum": "should be greater than or equal to {}",
    "Maximum": "should be less than or equal to {}",
    "ExclusiveMinimum": "should be greater than {}",
    "ExclusiveMaximum": "should be less than {}",
    "MinLength": "should be at least {} chars long",
    "MinItems": "should have at least {} items",
    "MinProperties": "should have at least {} properties",
    "MaxProperties": "should have at most {} properties",
}
_COMBINED = {
    "AnyOf": "must validate at least one schema (anyOf)",
    "OneOfNotValid": "must validate one and only one schema (oneOf). Found none valid",
    "OneOfMultipleValid": "must validate one and only one schema (oneOf). Found more than one valid",
    "Not": "must not validate the schema (not)",
}


def custom_rule(schema: Mapping[str, Any]) -> Rule:
    """The rule of one version of a custom resource. ValueError if the schema itself cannot be compiled."""
    validator = Draft4Validator(_translated(schema, root=True), validate_formats=True)
    lists = _lists(schema)

    def check(obj: Object, old: Object | None) -> Errors:
        yield from metadata(obj, names.dns_subdomain, own_finalizers=False)
        if not validator.is_valid(obj):
            for error in validator.iter_errors(obj):
                if old is None or not _unchanged(obj, old, error.instance_path):
                    yield _told(error)
        if lists is not None:
            yield from lists(obj, "")

    return check


def _translated(schema: Mapping[str, Any], *, root: bool = False) -> dict[str, Any]:
    """A structural schema as JSON Schema draft 4. What ``metadata`` may look like is said by Kubernetes, not by the schema."""
    result: dict[str, Any] = {k: schema[k] for k in _COPIED if k in schema}
    if schema.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
    if schema.get("nullable") and "type" in result:
        kinds = result["type"] if isinstance(result["type"], list) else [result["type"]]
        result["type"] = [*kinds, "null"]
        if "enum" in result and None not in result["enum"]:
            result["enum"] = [*result["enum"], None]
    if schema.get("format") in _FORMATS:
        result["format"] = schema["format"]
    fields = schema.get("properties") or {}
    if fields:
        result["properties"] = {
            k: _translated(v) for k, v in fields.items() if not (root and k in ("metadata", "apiVersion", "kind"))
        }
    for name in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(name), Mapping):
            result[name] = _translated(schema[name])
    for name in ("allOf", "anyOf", "oneOf"):
        if schema.get(name):
            result[name] = [_translated(s) for s in schema[name]]
    return result


def _unchanged(new: Object, old: Object, path: Path) -> bool:
    """Whether what is at ``path`` was there before: an old fault that nobody touched does not block a change elsewhere."""
    return bool(_at(new, path) == _at(old, path))


def _at(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return value


def _field(path: Path) -> str:
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".")


def _told(error: ValidationError) -> FieldError:
    field, value = _field(error.instance_path), error.instance
    name = type(error.kind).__qualname__.rpartition(".")[2]
    if name == "Required":
        return required(".".join(p for p in (field, str(getattr(error.kind, "property", ""))) if p))
    if name == "Type":
        found = _TYPES[type(value)]
        return invalid(field, found, f'{field} in body must be of type {_wanted(error)}: "{found}"')
    if name == "Enum":
        return unsupported(field, value, [str(o) for o in getattr(error.kind, "options", ())])
    if name == "MaxLength":
        return too_long(field, int(getattr(error.kind, "limit", 0)))
    if name == "MaxItems" and isinstance(value, list):
        limit = int(getattr(error.kind, "limit", 0))
        return FieldError(TOO_MANY, field, f"must have at most {limit} item{'' if limit == 1 else 's'}", len(value))
    return invalid(field, value, _words(name, field, error))


def _words(name: str, field: str, error: ValidationError) -> str:
    if name in _LIMITS:
        return f"{field} in body {_LIMITS[name].format(getattr(error.kind, 'limit', ''))}"
    if name in _COMBINED:
        return f'"{field}" {_COMBINED[name]}'
    if name == "Pattern":
        return f"{field} in body should match '{getattr(error.kind, 'pattern', '')}'"
    if name == "UniqueItems":
        return f"{field} in body shouldn't contain duplicates"
    return f"{field} in body {error.message}"


def _wanted(error: ValidationError) -> str:
    return ",".join(t for t in getattr(error.kind, "types", ()) if t != "null")


ListCheck = Callable[[Any, str], Iterator[FieldError]]


def _lists(schema: Mapping[str, Any]) -> ListCheck | None:
    """The check that items of sets and map lists below ``schema`` differ; None if there are no such lists."""
    fields = {k: c for k, s in (schema.get("properties") or {}).items() if (c := _lists(s)) is not None}
    values = schema.get("additionalProperties")
    rest = _lists(values) if isinstance(values, Mapping) else None
    inner = _lists(schema["items"]) if isinstance(schema.get("items"), Mapping) else None
    kind, keys = schema.get("x-kubernetes-list-type"), tuple(schema.get("x-kubernetes-list-map-keys") or ())
    if not fields and rest is None and inner is None and kind not in ("map", "set"):
        return None

    def check(value: Any, at: str) -> Iterator[FieldError]:
        if isinstance(value, dict):
            for name, item in value.items():
                found = fields.get(name, rest)
                if found is not None:
                    yield from found(item, f"{at}.{name}" if at else name)
        elif isinstance(value, list):
            if kind in ("map", "set"):
                yield from _twice(value, at, keys if kind == "map" else None)
            for i, item in enumerate(value if inner is not None else ()):
                assert inner is not None
                yield from inner(item, f"{at}[{i}]")

    return check


def _twice(items: list[Any], at: str, keys: tuple[str, ...] | None) -> Iterator[FieldError]:
    seen: list[Any] = []
    for i, item in enumerate(items):
        identity = {k: item[k] for k in keys if k in item} if keys is not None and isinstance(item, dict) else item
        if identity in seen:
            yield duplicate(f"{at}[{i}]", identity)
        seen.append(identity)
