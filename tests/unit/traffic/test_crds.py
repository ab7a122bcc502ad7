"""The project's own definitions against the published ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lateen.traffic.crds import crds

REFERENCE = Path(__file__).parents[4] / "shared/reference/data/gateway-api-1.6.crds.json"
# Of the experimental channel, or of kinds that are not carried out.
LEFT_OUT = {
    "Gateway": {"spec.allowedListeners", "spec.defaultScope", "spec.tls", "status.attachedListenerSets"},
    "GatewayClass": set[str](),
    "HTTPRoute": {
        "spec.useDefaultGateways",
        "spec.rules[].retry",
        "spec.rules[].sessionPersistence",
        "spec.rules[].filters[].externalAuth",
        "spec.rules[].backendRefs[].filters[].externalAuth",
    },
    "GRPCRoute": {"spec.useDefaultGateways", "spec.rules[].sessionPersistence"},
    "ReferenceGrant": set[str](),
}
RULES = {"x-kubernetes-validations", "oneOf"}


def published(kind: str) -> dict[str, Any]:
    if not REFERENCE.exists():
        pytest.skip("the published definitions are not here")
    found = json.loads(REFERENCE.read_text())[f"gateway.networking.k8s.io/v1/{kind}"]
    assert isinstance(found, dict)
    return found


def differences(ours: dict[str, Any], theirs: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    nested = {"properties", "items", "additionalProperties"}
    for key in (ours.keys() | theirs.keys()) - nested - RULES:
        mine, other = ours.get(key), theirs.get(key)
        if path.endswith("filters[].type") and key == "enum":
            other = [v for v in other or [] if v != "ExternalAuth"]
        if mine != other:
            yield path, f"{key}: {mine!r}, published {other!r}"
    mine, other = ours.get("properties", {}), theirs.get("properties", {})
    for name in mine.keys() | other.keys():
        here = f"{path}.{name}".lstrip(".")
        if name not in mine or name not in other:
            yield here, "only published" if name in other else "only ours"
        else:
            yield from differences(mine[name], other[name], here)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in ours or key in theirs:
            yield from differences(ours.get(key, {}), theirs.get(key, {}), path + mark)


@pytest.mark.parametrize("crd", crds(), ids=lambda c: c["spec"]["names"]["kind"])
def test_definition_is_the_published_one(crd: dict[str, Any]) -> None:
    kind = crd["spec"]["names"]["kind"]
    found = list(differences(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], published(kind)["schema"], ""))
    wrong = [f"{path}: {what}" for path, what in found if not (what == "only published" and path in LEFT_OUT[kind])]
    assert wrong == []
    assert {path for path, what in found if what == "only published"} == LEFT_OUT[kind]


@pytest.mark.parametrize("crd", crds(), ids=lambda c: c["spec"]["names"]["kind"])
def test_names_are_the_published_ones(crd: dict[str, Any]) -> None:
    names, facts = crd["spec"]["names"], published(crd["spec"]["names"]["kind"])
    assert (names["plural"], crd["spec"]["scope"], names["shortNames"]) == (facts["plural"], facts["scope"], facts["shortNames"])
    assert ("subresources" in crd["spec"]["versions"][0]) == bool(facts["subresources"])
