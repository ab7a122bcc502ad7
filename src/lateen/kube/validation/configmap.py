"""ConfigMap, and the rules of data that Secret shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, follows, metadata
from lateen.kube.validation.errors import forbidden, invalid, too_long

SIZE_MAX = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"


def config_map(obj: Object, old: Object | None) -> Errors:
    """ConfigMap."""
    yield from metadata(obj, names.dns_subdomain)
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    yield from keys(data, "data")
    yield from keys(binary, "binaryData")
    for key in data.keys() & binary.keys():
        yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if sum(map(size, data.values())) + sum(decoded(v) for v in binary.values()) > SIZE_MAX:
        yield too_long("", SIZE_MAX)
    if old is not None:
        yield from frozen(obj, old, "data", "binaryData")


def keys(data: Mapping[str, Any], at: str) -> Errors:
    """Keys are file names."""
    for key in data:
        yield from follows(names.config_key, f"{at}[{key}]", key)


def size(text: str | None) -> int:
    """Bytes of a value."""
    found = text or ""
    return len(found) if found.isascii() else len(found.encode())


def decoded(text: str | None) -> int:
    """Bytes that a base64 text stands for."""
    found = text or ""
    return len(found) * 3 // 4 - found.count("=")


def frozen(obj: Object, old: Object, *fields: str) -> Errors:
    """What an ``immutable`` object does not allow."""
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield forbidden("immutable", _FROZEN)
    for name in fields:
        if (obj.get(name) or {}) != (old.get(name) or {}):
            yield forbidden(name, _FROZEN)
