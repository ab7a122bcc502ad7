"""Secret: its type says which keys it must have."""

from __future__ import annotations

import base64
import binascii
import json

from lateen.kube import names
from lateen.kube.meta import Object, annotations_of
from lateen.kube.validation.base import Errors, metadata, unchanged
from lateen.kube.validation.configmap import SIZE_MAX, decoded, frozen, keys
from lateen.kube.validation.errors import invalid, required, too_long

_NEEDS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_ACCOUNT = "kubernetes.io/service-account.name"


def secret(obj: Object, old: Object | None) -> Errors:
    """Secret. No finding repeats a secret's value."""
    yield from metadata(obj, names.dns_subdomain)
    data = obj.get("data") or {}
    yield from keys(data, "data")
    for key, value in data.items():
        if not _is_base64(value):
            yield invalid(f"data[{key}]", "<secret contents redacted>", "illegal base64 data")
    if sum(map(decoded, data.values())) > SIZE_MAX:
        yield too_long("data", SIZE_MAX)
    yield from _by_type(obj)
    if old is not None:
        yield from unchanged(obj.get("type"), old.get("type"), "type")
        yield from frozen(obj, old, "data")


def _by_type(obj: Object) -> Errors:
    kind, data = obj.get("type") or "", obj.get("data") or {}
    for key in _NEEDS.get(kind, ()):
        if key not in data:
            yield required(f"data[{key}]")
        elif key.startswith(".docker") and not _is_json(data[key]):
            yield invalid(f"data[{key}]", "<secret contents redacted>", "invalid character in JSON")
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        yield required("data[username]")
        yield required("data[password]")
    if kind == "kubernetes.io/service-account-token" and not annotations_of(obj).get(_ACCOUNT):
        yield required(f"metadata.annotations[{_ACCOUNT}]")


def _is_base64(text: str | None) -> bool:
    try:
        base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_json(text: str | None) -> bool:
    try:
        json.loads(base64.b64decode(text or "", validate=True))
    except (binascii.Error, ValueError):
        return False
    return True
