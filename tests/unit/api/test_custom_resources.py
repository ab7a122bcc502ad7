"""CustomResourceDefinitions in process: schema, versions, names, clean-up, discovery."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.client.client import Client
from lateen.cluster.api.server import ApiServer
from lateen.errors import InvalidError, MethodNotAllowedError, NotFoundError
from lateen.kube.meta import Object, condition, condition_true
from lateen.kube.resources import CRDS, Resource

FOOS = Resource(group="x.dev", version="v1", kind="Foo", plural="foos", namespaced=True, subresources=("status",))
FOOS_OLD = Resource(group="x.dev", version="v1beta1", kind="Foo", plural="foos", namespaced=True)


def definition(plural: str = "foos", kind: str = "Foo", **version: Any) -> Object:
    spec = {
        "type": "object",
        "properties": {"size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "default": "red"}},
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}}
    versions = [
        {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}, **version},
        {"name": "v1beta1", "served": True, "storage": False, "schema": schema, "deprecated": True},
    ]
    names = {"plural": plural, "kind": kind}
    return {
        "metadata": {"name": f"{plural}.x.dev"},
        "spec": {"group": "x.dev", "scope": "Namespaced", "names": names, "versions": versions},
    }


def foo(name: str, **spec: Any) -> Object:
    return {"apiVersion": "x.dev/v1", "kind": "Foo", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def test_a_definition_is_served_at_once(client: Client) -> None:
    with pytest.raises(NotFoundError):
        await client.list(FOOS, "default")
    made = await client.create(CRDS, definition())
    assert condition_true(made, "Established") and made["status"]["storedVersions"] == ["v1"]
    stored = await client.create(FOOS, foo("a", size=2, nonsense=1))
    assert stored["spec"] == {"size": 2, "color": "red"}, "unknown fields are pruned, defaults filled in"
    with pytest.raises(InvalidError, match=r"spec\.size in body should be greater than or equal to 1"):
        await client.create(FOOS, foo("b", size=0))
    old = await client.raw("GET", FOOS_OLD.path("default", "a"))
    assert old.object["apiVersion"] == "x.dev/v1beta1"
    assert old.headers["Warning"] == '299 - "x.dev/v1beta1 Foo is deprecated"'
    groups = (await client.raw("GET", "/apis/x.dev")).object
    assert [v["version"] for v in groups["versions"]] == ["v1", "v1beta1"]


async def test_a_new_version_of_the_definition_changes_what_is_served(client: Client) -> None:
    made = await client.create(CRDS, definition())
    versions = made["spec"]["versions"]
    await client.patch(CRDS, "foos.x.dev", {"spec": {"versions": [versions[0], {**versions[1], "served": False}]}})
    with pytest.raises(NotFoundError):
        await client.list(FOOS_OLD, "default")


async def test_names_are_taken_once(client: Client) -> None:
    await client.create(CRDS, definition())
    second = await client.create(CRDS, definition("bars"))
    refused = condition(second["status"]["conditions"], "NamesAccepted")
    assert refused is not None and refused["reason"] == "NameConflict" and not condition_true(second, "Established")
    with pytest.raises(InvalidError, match=r'must be spec.names.plural\+"."\+spec.group'):
        await client.create(CRDS, {**definition(), "metadata": {"name": "wrong"}})


async def test_deleting_a_definition_deletes_its_objects(client: Client, api: ApiServer) -> None:
    await client.create(CRDS, definition())
    await client.create(FOOS, foo("a", size=1))
    held = await client.create(
        FOOS, {**foo("b", size=1), "metadata": {"name": "b", "namespace": "default", "finalizers": ["x.dev/wait"]}}
    )
    await client.delete(CRDS, "foos.x.dev")
    with pytest.raises(MethodNotAllowedError, match="definition is terminating"):
        await client.create(FOOS, foo("c", size=1))
    await _until(api, lambda: api.backend.storage.count("x.dev/foos/") == 1)
    await client.patch(FOOS, "b", {"metadata": {"finalizers": None}}, namespace="default")
    await _until(api, lambda: api.backend.storage.get("apiextensions.k8s.io/customresourcedefinitions/foos.x.dev") is None)
    with pytest.raises(NotFoundError):
        await client.get(FOOS, held["metadata"]["name"], "default")
    assert api.backend.registry.find("x.dev", "v1", "foos") is None


async def test_cel_rules_hold(client: Client) -> None:
    rules = [
        {"rule": "self.least <= self.most", "message": "least may not be above most"},
        {
            "rule": "!has(self.label) || self.label == oldSelf.label",
            "message": "label is immutable",
            "reason": "FieldValueForbidden",
        },
        {"rule": "self.most < 100", "messageExpression": "'most is ' + string(self.most)", "fieldPath": ".most"},
        {"rule": "self.label.isURL()"},
    ]
    numbers = {n: {"type": "integer"} for n in ("least", "most")}
    ports = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"namespace": {"type": "string"}},
            "x-kubernetes-validations": [{"rule": "self.__namespace__ != 'x'"}],
        },
    }
    spec = {
        "type": "object",
        "properties": {**numbers, "label": {"type": "string"}, "ports": ports},
        "x-kubernetes-validations": rules,
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    await client.create(CRDS, definition(schema=schema))
    with pytest.raises(InvalidError) as caught:
        await client.create(FOOS, foo("a", least=3, most=2))
    assert caught.value.message == 'Foo.x.dev "a" is invalid: spec: Invalid value: "object": least may not be above most'
    with pytest.raises(InvalidError, match=r"spec\.most: Invalid value: \"object\": most is 200"):
        await client.create(FOOS, foo("a", least=3, most=200))
    with pytest.raises(InvalidError, match=r"spec\.ports\[1\]: Invalid value: \"object\": failed rule: self.__namespace__ != 'x'"):
        await client.create(FOOS, foo("a", least=1, most=2, ports=[{"namespace": "y"}, {"namespace": "x"}]))
    made = await client.create(FOOS, foo("a", least=1, most=2, label="n"))
    with pytest.raises(InvalidError, match="spec: Forbidden: label is immutable"):
        await client.update(FOOS, {**made, "spec": {**made["spec"], "label": "m"}})
    with pytest.raises(InvalidError, match="evaluating rule: least may not be above most"):
        await client.create(FOOS, foo("b", least=1))


async def _until(api: ApiServer, done: Any) -> None:
    for _ in range(300):
        if done():
            return
        await api.backend.clock.sleep(0.01)
    raise AssertionError("it did not happen")
