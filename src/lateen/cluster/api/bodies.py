"""Request bodies to objects: JSON, YAML and protobuf; an in-process body is copied. Used by the writing verbs."""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from lateen.client.seam import Request
from lateen.cluster.api import statuses
from lateen.cluster.api.call import Call
from lateen.kube import protobuf
from lateen.kube.meta import Object, edit
from lateen.kube.resources import Resource

_JSON = ("application/json", "text/json", "*/*", "")
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")
PROTOBUF = "application/vnd.kubernetes.protobuf"
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TextLoader(_Loader):  # type: ignore[misc] # the C loader, when there is one, is chosen at run time
    """YAML as Kubernetes reads it: dates stay text."""


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def media_type(content_type: str) -> str:
    """``application/json`` of ``application/json; charset=utf-8``."""
    return content_type.partition(";")[0].strip().lower()


def load_yaml(text: bytes) -> Any:
    """The document in ``text``. BadRequestError if it is not YAML."""
    try:
        return yaml.load(text, Loader=_TextLoader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise statuses.bad_request(f"error converting YAML to JSON: {error}") from error


def load_json(text: bytes) -> Any:
    """The value in ``text``. BadRequestError if it is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise statuses.bad_request(f"invalid character or unexpected end of JSON input: {error}") from error


def decode(request: Request, expected: Resource | None = None) -> Any:
    """The request's body as fresh JSON data, which the caller owns; None for an empty body."""
    body = request.body
    if body is None or body == b"":
        return None
    if not isinstance(body, bytes | bytearray | memoryview):
        return edit(body)
    kind = media_type(request.content_type)
    if kind in _JSON:
        return load_json(bytes(body))
    if kind in _YAML:
        return load_yaml(bytes(body))
    if kind == PROTOBUF:
        return protobuf.decode(bytes(body))
    known = f"application/json, application/yaml, {PROTOBUF}"
    raise statuses.unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {known}"
    )


def decode_object(call: Call) -> Object:
    """The body as an object of the call's resource, apiVersion and kind filled in or checked."""
    found = decode(call.request)
    if not isinstance(found, dict):
        raise statuses.bad_request(
            "the request body must be an object" if found is not None else "Required value: the request body is empty"
        )
    return expect_kind(call, found)


def expect_kind(call: Call, obj: Object) -> Object:
    """``obj`` with the resource's apiVersion and kind; BadRequestError if it says it is something else."""
    r = call.served.resource
    version, kind = obj.get("apiVersion") or r.api_version, obj.get("kind") or r.kind
    if (version, kind) != (r.api_version, r.kind):
        raise statuses.bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({r.api_version})"
            if version != r.api_version
            else f"{kind} in version {version!r} cannot be handled as a {r.kind}: no kind match"
        )
    meta = obj.get("metadata")
    if meta is None:
        meta = {}
    if not isinstance(meta, dict):
        raise statuses.bad_request(f"{kind} in version {version!r} cannot be handled as a {kind}: metadata must be an object")
    rest = {k: v for k, v in obj.items() if k not in ("kind", "apiVersion", "metadata")}
    return {"kind": kind, "apiVersion": version, "metadata": meta, **rest}
