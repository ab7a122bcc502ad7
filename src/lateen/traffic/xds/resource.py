"""One Envoy resource, encoded once, and the small helpers that build the protocol messages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type's name
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
# Make before break: what is pointed to comes before what points to it.
ORDER = (CLUSTER, ENDPOINTS, SECRET, LISTENER, ROUTES)

ADS = {"ads": {}, "resource_api_version": "V3"}


@dataclass(frozen=True, slots=True)
class Name:
    """Identity of a resource: type URL and name."""

    type: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """``version`` is a hash of the content, so a daemon that starts again offers the same versions. ``needs`` are the clusters
    that a proxy must have with their endpoints before it may receive this."""

    id: Name
    version: str
    needs: frozenset[str]
    packed: Any  # discovery_pb2.Resource


def pack(message: Any) -> any_pb2.Any:
    """``message`` as an Any, the same bytes for the same content."""
    return any_pb2.Any(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}", value=message.SerializeToString(deterministic=True)
    )


def extension(name: str, message: Any) -> dict[str, Any]:
    """A named extension with its configuration."""
    return {"name": name, "typed_config": pack(message)}


def resource(name: str, message: Any, needs: frozenset[str] = frozenset()) -> Resource:
    """Encode ``message``."""
    body = pack(message)
    version = hashlib.sha256(body.value).hexdigest()[:16]
    return Resource(Name(body.type_url, name), version, needs, discovery_pb2.Resource(name=name, version=version, resource=body))


def seconds(value: float) -> dict[str, int]:
    """A protobuf Duration."""
    whole = int(value)
    return {"seconds": whole, "nanos": round((value - whole) * 1e9)}
