"""The protobuf decoder, against bodies that a small encoder of our own makes."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from lateen.errors import BadRequestError
from lateen.kube import protobuf


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put(number: int, value: Any) -> bytes:
    """One field: an int, a float, text, or bytes (a message)."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + put(1, put(1, api_version) + put(2, kind)) + put(2, raw) + put(3, "") + put(4, "")


def entry(key: str, value: Any) -> bytes:
    return put(1, key) + put(2, value)


def test_a_secret_has_base64_data_and_no_zeros() -> None:
    meta = put(1, "s") + put(2, "") + put(7, 0) + put(8, b"") + put(11, entry("app", "x")) + put(11, entry("empty", ""))
    found = protobuf.decode(body("v1", "Secret", put(1, meta) + put(2, entry("k", b"\xff\x00")) + put(3, "Opaque")))
    assert found == {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "s", "labels": {"app": "x", "empty": ""}},
        "data": {"k": "/wA="},
        "type": "Opaque",
    }


def test_a_deployment_keeps_zeros_of_pointers_and_inlines_embedded_messages() -> None:
    port = put(1, "http") + put(2, 0) + put(3, 8080) + put(4, "TCP")
    probe = put(1, put(2, put(1, "/healthz") + put(2, put(1, 1) + put(2, 0) + put(3, "http")))) + put(2, 0) + put(6, 3)
    limits = put(1, entry("cpu", put(1, "500m")))
    container = put(1, "c") + put(2, "busybox") + put(6, port) + put(8, limits) + put(10, probe)
    volume = put(1, "v") + put(2, put(2, put(1, "")))
    template = put(2, put(1, volume) + put(2, container) + put(4, 0))
    strategy = put(1, "RollingUpdate") + put(2, put(2, put(1, 0) + put(2, 1) + put(3, "")))
    spec = put(1, 0) + put(3, template) + put(4, strategy) + put(5, 0) + put(7, 0)
    found = protobuf.decode(body("apps/v1", "Deployment", put(2, spec) + put(3, b"")))
    assert found["spec"] == {
        "replicas": 0,
        "template": {
            "spec": {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [
                    {
                        "name": "c",
                        "image": "busybox",
                        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                        "resources": {"limits": {"cpu": "500m"}},
                        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "failureThreshold": 3},
                    }
                ],
                "terminationGracePeriodSeconds": 0,
            }
        },
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
    }
    assert "status" not in found


def test_times_negative_numbers_and_options_of_any_group() -> None:
    lease = put(2, put(2, 15) + put(3, put(1, 1_700_000_000) + put(2, 123_456_789)) + put(5, -1))
    found = protobuf.decode(body("coordination.k8s.io/v1", "Lease", lease))
    assert found["spec"]["acquireTime"] == "2023-11-14T22:13:20.123456Z"
    assert found["spec"]["leaseTransitions"] == -1
    options = protobuf.decode(body("apps/v1", "DeleteOptions", put(1, 0) + put(4, "Foreground") + put(5, "All")))
    assert options["gracePeriodSeconds"] == 0
    assert options["propagationPolicy"] == "Foreground"
    assert options["dryRun"] == ["All"]


def test_a_custom_resource_definition_with_unions_and_json() -> None:
    prop = put(5, "integer") + put(8, put(1, "3")) + put(9, 0.5) + put(38, 0)
    items = put(24, put(1, put(5, "string")))
    schema = put(29, entry("n", prop)) + put(29, entry("l", items)) + put(30, put(1, 1))
    version = put(1, "v1") + put(2, 1) + put(3, 1) + put(4, put(1, schema))
    found = protobuf.decode(body("apiextensions.k8s.io/v1", "CustomResourceDefinition", put(2, put(7, version))))
    assert found["spec"]["versions"] == [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {
                "openAPIV3Schema": {
                    "properties": {
                        "n": {"type": "integer", "default": 3, "maximum": 0.5, "x-kubernetes-preserve-unknown-fields": False},
                        "l": {"items": {"type": "string"}},
                    },
                    "additionalProperties": True,
                }
            },
        }
    ]


def test_a_review_with_extra_values() -> None:
    extra = put(5, entry("scopes", put(1, "a") + put(1, "b")))
    found = protobuf.decode(body("authorization.k8s.io/v1", "SubjectAccessReview", put(2, put(3, "jane") + extra)))
    assert found["spec"] == {"user": "jane", "extra": {"scopes": ["a", "b"]}}


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{}",
        body("v1", "Nothing", b""),
        body("v1", "Secret", b"\x0a\xff"),
        body("v1", "Secret", put(1, 5)),
        body("v1", "Secret", put(3, b"\xff")),
        body("v1", "Secret", put(2, b"")[:1] + b"\xff" * 11),
    ],
)
def test_what_is_no_such_body_is_refused(wrong: bytes) -> None:
    with pytest.raises(BadRequestError):
        protobuf.decode(wrong)


def test_every_message_names_known_types() -> None:
    messages = protobuf._messages()
    for message, fields in messages.items():
        for field in fields.values():
            kind = field.type.removeprefix("[]").removeprefix("map[string]")
            assert kind in messages or kind in protobuf._SCALARS, (message, field)
