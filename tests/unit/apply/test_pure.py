"""The pure parts: loading, order, differences, pruning, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.apply.diff import Verb, changes, compare
from lateen.apply.inventory import Inventory, parse
from lateen.apply.manifest import load_manifests
from lateen.apply.order import dependencies, stage_of, stages
from lateen.apply.prune import Prune, judge
from lateen.apply.refs import APP_LABEL, Ref, intent, ref_of
from lateen.apply.refusals import explain
from lateen.errors import FailedError, InputError, InvalidError, api_error
from lateen.kube.yamltext import Source


def told(text: str) -> str:
    with pytest.raises(ExceptionGroup) as caught:
        load_manifests([Source("m.yaml", text)])
    return "\n".join(str(e) for e in caught.value.exceptions)


def obj(kind: str, name: str, api: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "n", **more}}


# manifests


def test_documents_lists_and_json() -> None:
    text = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
---
# nothing
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Secret, metadata: {name: b}}
---
{"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}]}
"""
    found = load_manifests([Source("m.yaml", text)])
    assert [(m.object["kind"], m.object["metadata"]["name"], m.where) for m in found] == [
        ("ConfigMap", "a", "m.yaml:2:1"),
        ("Secret", "b", "m.yaml:11:5"),
        ("ConfigMap", "c", "m.yaml:13:57"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("apiVersion: v1\nkind: Pod\n", "m.yaml:1:1: the object has no metadata"),
        ("apiversion: v1\nkind: Pod\nmetadata: {name: a}\n", "did you mean 'apiVersion'?"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", "generateName makes a new object each time"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 5}\n", "m.yaml:3:18: metadata.name must be text"),
        ("apiVersion: v1\nkind: [Pod]\nmetadata: {name: a}\n", "m.yaml:2:7: kind must be text"),
        ("- a\n", "expected an object"),
        ("a: [\n", "not YAML"),
    ],
)
def test_bad_manifests(text: str, message: str) -> None:
    assert message in told(text)


def test_every_bad_manifest_is_told() -> None:
    text = told("kind: Pod\n---\napiVersion: v1\nkind: Pod\n")
    assert "m.yaml:1:1" in text
    assert "m.yaml:3:1" in text


# order


def test_stages_put_first_what_others_need() -> None:
    refs = [
        Ref("apps", "Deployment", "n", "d"),
        Ref("", "Service", "n", "s"),
        Ref("example.com", "Widget", "n", "w"),
        Ref("", "Namespace", "", "n"),
        Ref("apiextensions.k8s.io", "CustomResourceDefinition", "", "widgets.example.com"),
        Ref("gateway.networking.k8s.io", "HTTPRoute", "n", "r"),
        Ref("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", "v"),
    ]
    assert [[r.kind for r in stage] for stage in stages(refs)] == [
        ["Namespace", "CustomResourceDefinition"],
        ["Service"],
        ["Widget"],
        ["Deployment", "HTTPRoute"],
        ["ValidatingWebhookConfiguration"],
    ]
    assert stage_of(Ref("", "ConfigMap", "n", "c")) < stage_of(Ref("batch", "Job", "n", "j"))


def depending(name: str, *on: str) -> tuple[Ref, dict[str, Any]]:
    text = ",".join(f"apps/namespaces/n/Deployment/{o}" for o in on)
    made = obj("Deployment", name, "apps/v1", annotations={"config.kubernetes.io/depends-on": text} if on else {})
    return ref_of(made), made


def test_declared_dependencies() -> None:
    objects = dict([depending("a", "b", "elsewhere"), depending("b")])
    assert dependencies(objects) == {Ref("apps", "Deployment", "n", "a"): [Ref("apps", "Deployment", "n", "b")]}


def test_a_cycle_of_dependencies_is_refused() -> None:
    objects = dict([depending("a", "b"), depending("b", "c"), depending("c", "b")])
    with pytest.raises(InputError, match="Deployment n/b -> Deployment n/c -> Deployment n/b"):
        dependencies(objects)


def test_a_dependency_that_cannot_be_read() -> None:
    made = obj("Deployment", "a", "apps/v1", annotations={"config.kubernetes.io/depends-on": "b"})
    with pytest.raises(InputError, match="cannot read 'b'"):
        dependencies({ref_of(made): made})


# differences


def test_items_of_lists_are_compared_by_name() -> None:
    before = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}}
    after = {"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "b"}, {"name": "c"}]}}
    assert [str(c) for c in changes(before, after)] == [
        "~ spec.containers[a].image: 1 -> 2",
        "+ spec.containers[c]: {'name': 'c'}",
    ]


def test_a_new_order_is_a_change() -> None:
    assert list(changes({"l": [{"name": "a"}, {"name": "b"}]}, {"l": [{"name": "b"}, {"name": "a"}]}))


def test_what_only_the_server_moves_is_no_change() -> None:
    live = obj("ConfigMap", "a", resourceVersion="1", managedFields=[{"manager": "x"}]) | {"status": {"a": 1}}
    dry = obj("ConfigMap", "a", resourceVersion="2", managedFields=[])
    assert compare(ref_of(live), live, dry).verb is Verb.unchanged


def test_secrets_are_not_shown() -> None:
    live, dry = obj("Secret", "a") | {"data": {"k": "aHVudGVyMg=="}}, obj("Secret", "a") | {"data": {"k": "c2VjcmV0"}}
    assert [str(c) for c in compare(ref_of(live), live, dry).changes] == ["~ data.k: (7 bytes) -> (6 bytes)"]


def test_the_intent_leaves_out_what_only_a_server_writes() -> None:
    given = obj("ConfigMap", "a", uid="u", resourceVersion="5", labels={"x": "y"}) | {"status": {}}
    assert intent(given, namespace="m", app="shop") == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "m", "labels": {"x": "y", APP_LABEL: "shop"}},
    }
    assert given["metadata"]["uid"] == "u", "what was given is not changed"


# inventory and pruning


def test_an_inventory_survives_its_object() -> None:
    entries = {Ref("apps", "Deployment", "n", "a"): "apps/v1", Ref("", "Namespace", "", "n"): "v1"}
    inventory = Inventory(app="shop", namespace="n").with_entries(entries)
    assert parse(inventory.to_object(), Inventory(app="shop", namespace="n")) == inventory


OWN = {APP_LABEL: "shop"}


def test_pruning_spares_data_history_and_strangers() -> None:
    live = {
        ref_of(o): o
        for o in (
            obj("ConfigMap", "old", labels=OWN),
            obj("ConfigMap", "used", labels=OWN),
            obj("ConfigMap", "foreign", labels={APP_LABEL: "other"}),
            obj("PersistentVolumeClaim", "data", labels=OWN),
            obj("PersistentVolumeClaim", "scratch", labels=OWN | {"lateen.dev/retain": "false"}),
            obj("Namespace", "n", labels=OWN),
        )
    }
    gone = Ref("", "Service", "n", "gone")
    pod = {"volumes": [{"name": "c", "configMap": {"name": "used"}}], "containers": []}
    history = [obj("ReplicaSet", "r", "apps/v1") | {"spec": {"template": {"spec": pod}}}]
    verdict = judge({**live, gone: None}, app="shop", prune=Prune.safe, replica_sets=history)
    assert [r.name for r in verdict.delete] == ["old", "scratch"]
    assert [r.name for r in verdict.keep] == ["used", "data", "n"]
    assert [r.name for r in verdict.forget] == ["foreign", "gone"]
    everything = judge({**live, gone: None}, app="shop", prune=Prune.all, replica_sets=history)
    assert [r.name for r in everything.delete] == ["old", "used", "data", "scratch", "n"]
    assert [r.name for r in everything.forget] == ["foreign", "gone"]


# refusals


def test_a_conflict_names_the_owner_of_each_field() -> None:
    causes = [
        {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl-edit" using apps/v1', "field": ".spec.replicas"},
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "hpa" with subresource "scale" using apps/v1',
            "field": ".spec.x",
        },
    ]
    error = api_error(
        {"code": 409, "reason": "Conflict", "message": "Apply failed with 2 conflicts", "details": {"causes": causes}}
    )
    told = explain(Ref("apps", "Deployment", "n", "a"), error, "m.yaml:1:1")
    assert isinstance(told, FailedError)
    assert str(told).splitlines() == [
        "m.yaml:1:1: Deployment n/a: another manager owns fields of it",
        "  .spec.replicas is owned by kubectl-edit",
        "  .spec.x is owned by hpa (by scale)",
        "  run again with --force-conflicts to take the fields over, or leave them out of your manifest",
    ]


def test_an_invalid_object_is_bad_input() -> None:
    causes = [{"field": "spec.replicas", "message": "must be greater than or equal to 0"}]
    told = explain(Ref("", "Pod", "n", "a"), InvalidError("bad", details={"causes": causes}), "m.yaml:1:1")
    assert isinstance(told, InputError)
    assert str(told) == "m.yaml:1:1: Pod n/a: spec.replicas: must be greater than or equal to 0"
