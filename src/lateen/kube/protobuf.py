"""Kubernetes' protobuf request bodies to JSON data. Called by the API server: kubectl and client-go send built-in kinds this way.

A body is the magic ``k8s\\0`` and a ``runtime.Unknown``: apiVersion and kind, then the object's own bytes. The fields of every
message are in the package's extract (scripts/extract_protobuf.py), read on first use. As in Kubernetes, a zero counts as absent
unless its Go field is a pointer.
"""

from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

from lateen.errors import BadRequestError
from lateen.kube.meta import Object, micro_timestamp, timestamp

MAGIC = b"k8s\x00"
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions."
_PACKAGES = {"": "core", "internal.apiserver.k8s.io": "apiserverinternal"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAP = "map[string]"
_DEPTH = 200


class Field(NamedTuple):
    """One field of a message. ``name`` is its JSON name, empty for one that is inlined; ``optional``: a zero is not absence."""

    name: str
    type: str
    optional: bool


def decode(body: bytes) -> Object:
    """The object in ``body``. BadRequestError if it is not a Kubernetes protobuf message of a known kind."""
    if not body.startswith(MAGIC):
        raise BadRequestError("the body does not start with the magic number of Kubernetes' protobuf")
    try:
        return _unwrap(memoryview(body)[len(MAGIC) :])
    except (ValueError, IndexError, struct.error, OverflowError, RecursionError) as error:
        raise BadRequestError(f"the protobuf body cannot be read: {error}") from error


def _unwrap(envelope: memoryview) -> Object:
    api_version = kind = ""
    raw: bytes | memoryview = b""
    for number, value in _pairs(envelope):
        if number == 1:
            names = {n: bytes(v).decode() for n, v in _pairs(_slice(value))}
            api_version, kind = names.get(1, ""), names.get(2, "")
        elif number == 2:
            raw = _slice(value)
    message = message_of(api_version, kind)
    if message not in _messages():
        raise ValueError(f"no kind {kind!r} is known in version {api_version!r}")
    return {"kind": kind, "apiVersion": api_version, **_object(message, memoryview(raw), 0)}


def message_of(api_version: str, kind: str) -> str:
    """The message of a kind: ``k8s.io.api.apps.v1.Deployment``. Options are ``meta.v1``'s in every group."""
    if kind.endswith("Options") and _META + kind in _messages():
        return _META + kind
    group, _, version = api_version.rpartition("/")
    if group == "apiextensions.k8s.io":
        return f"{_EXTENSIONS}{version}.{kind}"
    return f"k8s.io.api.{_PACKAGES.get(group) or group.partition('.')[0]}.{version}.{kind}"


@cache
def _messages() -> Mapping[str, Mapping[int, Field]]:
    data = orjson.loads(gzip.decompress(files("lateen.kube").joinpath("data/protobuf.json.gz").read_bytes()))
    return {message: {n: Field(name, kind, bool(pointer)) for n, name, kind, pointer in rows} for message, rows in data.items()}


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """(value, where it ends)."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _pairs(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) in order; a varint is an int, everything else its bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire, value = tag & 7, 0
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if at + size > len(data):
            raise ValueError("unexpected end")
        yield tag >> 3, data[at : at + size]
        at += size


def _slice(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where bytes are due")
    return value


def _object(message: str, data: memoryview, depth: int) -> dict[str, Any]:
    """One message's fields by JSON name. Unknown fields are skipped, as protobuf does."""
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    known, result = _messages()[message], {}
    for number, value in _pairs(data):
        field = known.get(number)
        if field is None:
            continue
        name, kind, optional = field
        if not name:
            result.update(_object(kind, _slice(value), depth + 1))
        elif kind.startswith("[]"):
            items = result.setdefault(name, [])
            items.extend(_items(kind[2:], value, depth))
        elif kind.startswith(_MAP):
            key, found = _entry(kind[len(_MAP) :], _slice(value), depth)
            result.setdefault(name, {})[key] = found
        elif (found := _value(kind, value, depth)) or optional:
            result[name] = found
    return result


def _items(kind: str, value: int | memoryview, depth: int) -> list[Any]:
    """The items of one occurrence: one, or several packed numbers."""
    if kind in _SCALARS and kind not in ("string", "bytes") and not isinstance(value, int):
        return [_SCALARS[kind](v) for v in _packed(value)]
    return [_value(kind, value, depth)]


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _entry(kind: str, data: memoryview, depth: int) -> tuple[str, Any]:
    """A map's entry; what it does not say is the type's zero."""
    key, found = "", None
    for number, value in _pairs(data):
        if number == 1:
            key = bytes(_slice(value)).decode()
        elif number == 2:
            found = _value(kind, value, depth)
    return key, _value(kind, memoryview(b""), depth) if found is None else found


def _value(kind: str, value: int | memoryview, depth: int) -> Any:
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar(value)
    special = _SPECIAL.get(kind.rpartition(".")[2])
    data = _slice(value)
    return special(kind, data, depth) if special is not None else _object(kind, data, depth + 1)


def _signed(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes where a number is due")
    return value - (1 << 64) if value >> 63 else value


def _double(value: int | memoryview) -> float:
    found: float = struct.unpack("<d", _slice(value))[0]
    return found


_SCALARS: Mapping[str, Callable[[int | memoryview], Any]] = {
    "string": lambda v: bytes(_slice(v)).decode(),
    "bytes": lambda v: base64.b64encode(_slice(v)).decode(),
    "bool": lambda v: bool(_signed(v)),
    "int32": _signed,
    "int64": _signed,
    "double": _double,
}


def _plain(data: memoryview) -> dict[int, int | memoryview]:
    return dict(_pairs(data))


def _quantity(kind: str, data: memoryview, depth: int) -> str:
    return bytes(_slice(_plain(data).get(1, memoryview(b"0")))).decode() or "0"


def _int_or_string(kind: str, data: memoryview, depth: int) -> int | str:
    found = _plain(data)
    if found.get(1, 0) == 1:
        return bytes(_slice(found.get(3, memoryview(b"")))).decode()
    return _signed(found.get(2, 0))


def _moment(data: memoryview) -> datetime | None:
    found = _plain(data)
    if not found:
        return None
    return _EPOCH + timedelta(seconds=_signed(found.get(1, 0)), microseconds=_signed(found.get(2, 0)) // 1000)


def _time(kind: str, data: memoryview, depth: int) -> str | None:
    moment = _moment(data)
    return None if moment is None else timestamp(moment)


def _micro_time(kind: str, data: memoryview, depth: int) -> str | None:
    moment = _moment(data)
    return None if moment is None else micro_timestamp(moment)


def _json(kind: str, data: memoryview, depth: int) -> Any:
    """RawExtension, JSON and FieldsV1 hold JSON as bytes; a RawExtension may hold a protobuf body."""
    raw = bytes(_slice(_plain(data).get(1, memoryview(b""))))
    if raw.startswith(MAGIC):
        return decode(raw)
    return orjson.loads(raw) if raw else None


def _listed(kind: str, data: memoryview, depth: int) -> list[str]:
    """A named list type (ExtraValue): only its items show in JSON."""
    return [bytes(_slice(v)).decode() for _, v in _pairs(data)]


def _schema_or(kind: str, data: memoryview, depth: int) -> Any:
    """The three JSON schema unions: a schema, or a boolean, schemas, or property names."""
    found, schema = list(_pairs(data)), kind.rpartition(".")[0] + ".JSONSchemaProps"
    if kind.endswith("OrBool"):
        schemas = [v for n, v in found if n == 2]
        return _object(schema, _slice(schemas[0]), depth + 1) if schemas else any(v for n, v in found if n == 1)
    single = [v for n, v in found if n == 1]
    if single:
        return _object(schema, _slice(single[0]), depth + 1)
    rest = [_slice(v) for n, v in found if n == 2]
    if kind.endswith("OrStringArray"):
        return [bytes(v).decode() for v in rest]
    return [_object(schema, v, depth + 1) for v in rest]


_SPECIAL: Mapping[str, Callable[[str, memoryview, int], Any]] = {
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _micro_time,
    "RawExtension": _json,
    "FieldsV1": _json,
    "JSON": _json,
    "ExtraValue": _listed,
    "JSONSchemaPropsOrBool": _schema_or,
    "JSONSchemaPropsOrArray": _schema_or,
    "JSONSchemaPropsOrStringArray": _schema_or,
}
