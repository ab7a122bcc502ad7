"""MutatingAdmissionPolicies: typed literals as maps, applied configurations, JSON patches, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.client.client import Client
from lateen.cluster.api.cel.literals import plain
from lateen.errors import ApiError, InvalidError
from lateen.kube.meta import Object
from lateen.kube.resources import CONFIGMAPS, PODS, Resource

GROUP = "admissionregistration.k8s.io"
POLICIES = Resource(group=GROUP, version="v1", kind="MutatingAdmissionPolicy", plural="mutatingadmissionpolicies", namespaced=False)
BINDINGS = Resource(
    group=GROUP, version="v1", kind="MutatingAdmissionPolicyBinding", plural="mutatingadmissionpolicybindings", namespaced=False
)
SIDECAR = """
Object{
  spec: Object.spec{
    // in front of every container
    initContainers: [
      Object.spec.initContainers{
        name: "mesh-proxy",
        image: "mesh/proxy:" + params.data.version,
        args: ["proxy", 'side,{car}'],
        restartPolicy: "Always"
      }
    ]
  }
}
"""


def apply(expression: str) -> Any:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patch(expression: str) -> Any:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


async def policy(client: Client, *mutations: Any, resource: str = "configmaps", binding: Any = None, **more: Any) -> Object:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "mutations": list(mutations), "reinvocationPolicy": "Never", **more}
    made = await client.create(POLICIES, {"metadata": {"name": "p"}, "spec": spec})
    await client.create(BINDINGS, {"metadata": {"name": "b"}, "spec": {"policyName": "p", **(binding or {})}})
    return made


def config_map(name: str = "a", labels: Any = None, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default", "labels": labels or {}}, "data": data}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Object{}", "{}"),
        ("Object{spec: Object.spec{replicas: 1}}", '{"spec": {"replicas": 1}}'),
        ('[JSONPatch{op: "add", path: "/a", value: {"x": 1}}]', '[{"op": "add","path": "/a","value": {"x": 1}}]'),
        ('Object{a: "b, c: {d", ?e: object.?x}', '{"a": "b, c: {d",?"e": object.?x}'),
        ("Object{a: [1, 2].map(x, x + 1), b: f(1, c ? d : e)}", '{"a": [1, 2].map(x, x + 1),"b": f(1, c ? d : e)}'),
        ("Object{__namespace__: 1, a__dash__b: 2}", '{"namespace": 1,"a-b": 2}'),
        ("object.spec{a: 1}", "object.spec{a: 1}"),
        ("'Object{a: 1}'", "'Object{a: 1}'"),
    ],
)
def test_literals_become_maps(text: str, wanted: str) -> None:
    assert plain(text) == wanted


async def test_an_applied_configuration_merges_by_the_schema(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map("mesh", version="v1"))
    await policy(
        client,
        apply(SIDECAR),
        resource="pods",
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": {"name": "mesh", "parameterNotFoundAction": "Deny"}},
        matchConditions=[
            {"name": "once", "expression": "!object.spec.?initContainers.orValue([]).exists(c, c.name == 'mesh-proxy')"}
        ],
    )
    spec = {"containers": [{"name": "a", "image": "b"}], "initContainers": [{"name": "first", "image": "c"}]}
    made = await client.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    proxy = next(c for c in made["spec"]["initContainers"] if c["name"] == "mesh-proxy")
    assert proxy["image"] == "mesh/proxy:v1" and proxy["args"] == ["proxy", "side,{car}"]
    assert proxy["terminationMessagePath"] == "/dev/termination-log"
    assert {c["name"] for c in made["spec"]["initContainers"]} == {"first", "mesh-proxy"}
    await client.patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}}, namespace="default")


async def test_json_patches_in_order_with_variables(client: Client) -> None:
    key = "/metadata/labels/' + jsonpatch.escapeKey('example.com/team')"
    await policy(
        client,
        apply("Object{metadata: Object.metadata{labels: {'seen': variables.size}}}"),
        patch(
            f"[JSONPatch{{op: 'test', path: '/data/x', value: '1'}}, JSONPatch{{op: 'add', path: '{key}, value: variables.size}}]"
        ),
        variables=[{"name": "size", "expression": "string(size(object.metadata.?labels.orValue({})))"}],
    )
    made = await client.create(CONFIGMAPS, config_map(labels={"a": "b"}, x="1"))
    assert made["metadata"]["labels"] == {"a": "b", "seen": "1", "example.com/team": "2"}
    with pytest.raises(InvalidError, match="policy 'p' with binding 'b' denied request: JSON Patch: "):
        await client.create(CONFIGMAPS, config_map("b", x="2"))
    await client.patch(POLICIES, "p", {"spec": {"failurePolicy": "Ignore"}})
    assert "labels" not in (await client.create(CONFIGMAPS, config_map("b", x="2")))["metadata"]


async def test_what_a_mutation_may_not_make(client: Client) -> None:
    await policy(client, apply("Object{kind: 'Secret'}"))
    with pytest.raises(InvalidError, match="invalid ApplyConfiguration: may not mutate kind"):
        await client.create(CONFIGMAPS, config_map())
    await client.patch(POLICIES, "p", {"spec": {"mutations": [apply("Object{data: [1]}")]}})
    with pytest.raises(ApiError, match="ConfigMap in version"):
        await client.create(CONFIGMAPS, config_map())
    with pytest.raises(InvalidError, match=r"spec\.mutations\[0\]\.jsonPatch: Required value"):
        await client.patch(POLICIES, "p", {"spec": {"mutations": [{"patchType": "JSONPatch"}]}})
    with pytest.raises(InvalidError, match="compilation failed"):
        await client.patch(POLICIES, "p", {"spec": {"mutations": [apply("Object{a: nope}")]}})
