from __future__ import annotations

from typing import Any

import pytest

from lateen.kube.meta import Object
from lateen.kube.validation.custom import custom_rule

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 5},
        "above": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "color": {"type": "string", "enum": ["red", "blue"]},
        "short": {"type": "string", "maxLength": 3, "minLength": 2, "pattern": "^a+$"},
        "few": {"type": "array", "maxItems": 1, "minItems": 1, "items": {"type": "string"}},
        "port": {"x-kubernetes-int-or-string": True},
        "maybe": {"type": "string", "nullable": True, "enum": ["x"]},
        "when": {"type": "string", "format": "date-time"},
        "either": {"type": "object", "oneOf": [{"required": ["x"]}, {"required": ["y"]}], "properties": {"x": {}, "y": {}}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "listeners": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    },
}
RULE = custom_rule({"type": "object", "required": ["spec"], "properties": {"metadata": {"maxProperties": 0}, "spec": SPEC}})


def widget(spec: Any) -> Object:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def findings(spec: Any, old: Any = None) -> list[str]:
    return [str(e) for e in RULE(widget({"size": 1, **spec}), widget({"size": 1, **old}) if old is not None else None)]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": 6}, "spec.size: Invalid value: 6: spec.size in body should be less than or equal to 5"),
        ({"size": "1"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"above": 0}, "spec.above: Invalid value: 0: spec.above in body should be greater than 0"),
        ({"color": "pink"}, 'spec.color: Unsupported value: "pink": supported values: "red", "blue"'),
        ({"short": "aaaa"}, "spec.short: Too long: may not be more than 3 bytes"),
        ({"short": "a"}, 'spec.short: Invalid value: "a": spec.short in body should be at least 2 chars long'),
        ({"short": "bb"}, "spec.short: Invalid value: \"bb\": spec.short in body should match '^a+$'"),
        ({"few": ["a", "b"]}, "spec.few: Too many: 2: must have at most 1 item"),
        ({"few": []}, "spec.few: Invalid value: []: spec.few in body should have at least 1 items"),
        ({"port": 1.5}, 'spec.port: Invalid value: "number": spec.port in body must be of type integer,string: "number"'),
        (
            {"either": {}},
            'spec.either: Invalid value: {}: "spec.either" must validate one and only one schema (oneOf). Found none valid',
        ),
        ({"tags": ["a", "b", "a"]}, 'spec.tags[2]: Duplicate value: "a"'),
        ({"listeners": [{"name": "a"}, {"name": "a"}]}, 'spec.listeners[1]: Duplicate value: {"name":"a"}'),
    ],
)
def test_findings_read_as_in_kubernetes(spec: Any, text: str) -> None:
    assert findings(spec) == [text]


@pytest.mark.parametrize(
    "spec", [{"port": 80}, {"port": "http"}, {"maybe": None}, {"maybe": "x"}, {"when": "2026-01-01T00:00:00Z"}, {"few": ["a"]}]
)
def test_what_fits_passes(spec: Any) -> None:
    assert findings(spec) == []


def test_a_wrong_time_is_found() -> None:
    assert [f.split(":")[0] for f in findings({"when": "yesterday"})] == ["spec.when"]


def test_what_is_required() -> None:
    assert [str(e) for e in RULE(widget({}), None)] == ["spec.size: Required value"]
    assert [str(e) for e in RULE({"metadata": {"name": "w"}}, None)] == ["spec: Required value"]


def test_an_old_fault_does_not_block_a_change_elsewhere() -> None:
    assert findings({"color": "pink", "size": 2}, old={"color": "pink"}) == []
    assert findings({"color": "grey", "size": 2}, old={"color": "pink"}) != []


def test_metadata_is_kubernetes_own() -> None:
    assert [e.field for e in RULE({"metadata": {"name": "A"}, "spec": {"size": 1}}, None)] == ["metadata.name"]


def test_a_broken_schema_is_told() -> None:
    with pytest.raises(ValueError):
        custom_rule({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}})


def test_a_custom_resource_may_hold_finalizers_without_a_domain() -> None:
    assert list(RULE({"metadata": {"name": "w", "finalizers": ["mine"]}, "spec": {"size": 1}}, None)) == []
