"""The project's own definitions against the published ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lateen.aio.clock import SystemClock
from lateen.client.client import Client
from lateen.errors import InvalidError
from lateen.kube.resources import CRDS, GATEWAYS, HTTPROUTES
from lateen.traffic.crds import crds
from lateen.traffic.install import install

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


def route(*rules: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "r", "namespace": "default"}
    spec = {"parentRefs": [{"name": "web"}], "rules": list(rules)}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": meta, "spec": spec}


def gateway(*listeners: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "g", "namespace": "default"}
    spec = {"gatewayClassName": "lateen", "listeners": list(listeners)}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": meta, "spec": spec}


TO = [{"name": "a", "port": 80}]
MOVE = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}
BAD = {
    "filter without its field": (route({"filters": [{"type": "URLRewrite"}]}), "urlRewrite must be there"),
    "field of another filter": (
        route({"filters": [{"type": "URLRewrite", "urlRewrite": {}, "requestRedirect": {}}]}),
        "requestRedirect must be there for type RequestRedirect, and only then",
    ),
    "redirect with backends": (
        route({"filters": [{"type": "RequestRedirect", "requestRedirect": {}}], "backendRefs": TO}),
        "exclude each other",
    ),
    "prefix change of an exact path": (
        route(
            {
                "matches": [{"path": {"type": "Exact", "value": "/a"}}],
                "filters": [{"type": "URLRewrite", "urlRewrite": {"path": MOVE}}],
            }
        ),
        "needs exactly one match",
    ),
    "path without slash": (route({"matches": [{"path": {"value": "a"}}]}), "must start with /"),
    "backend without port": (route({"backendRefs": [{"name": "a"}]}), "a Service needs a port"),
    "timeouts": (route({"timeouts": {"request": "1s", "backendRequest": "2s"}}), "must not be longer"),
    "twice the same filter": (
        route({"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {}}] * 2}),
        "may be there once",
    ),
    "tls for HTTP": (
        gateway({"name": "a", "port": 80, "protocol": "HTTP", "tls": {"certificateRefs": [{"name": "x"}]}}),
        "tls is not for",
    ),
    "the same listener twice": (
        gateway({"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 80, "protocol": "HTTP"}),
        "must differ",
    ),
    "no certificate": (gateway({"name": "a", "port": 443, "protocol": "HTTPS", "tls": {}}), "needs certificateRefs"),
}


@pytest.fixture
async def gateway_api(client: Client) -> Client:
    assert await install(client, SystemClock())
    return client


@pytest.mark.parametrize("name", BAD)
async def test_bad_objects_are_refused(gateway_api: Client, name: str) -> None:
    obj, words = BAD[name]
    with pytest.raises(InvalidError, match=words):
        await gateway_api.create(GATEWAYS if obj["kind"] == "Gateway" else HTTPROUTES, obj)


async def test_defaults_are_filled_in(gateway_api: Client) -> None:
    made = await gateway_api.create(HTTPROUTES, route({"backendRefs": TO}))
    assert made["spec"]["parentRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web"}]
    assert made["spec"]["rules"] == [
        {
            "backendRefs": [{"group": "", "kind": "Service", "name": "a", "port": 80, "weight": 1}],
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        }
    ]
    known = await gateway_api.create(GATEWAYS, gateway({"name": "http", "port": 80, "protocol": "HTTP"}))
    assert known["spec"]["listeners"][0]["allowedRoutes"] == {"namespaces": {"from": "Same"}}


async def test_installing_again_changes_nothing(gateway_api: Client) -> None:
    before = [o["metadata"]["resourceVersion"] for o in (await gateway_api.list(CRDS)).items]
    assert await install(gateway_api, SystemClock())
    assert [o["metadata"]["resourceVersion"] for o in (await gateway_api.list(CRDS)).items] == before
