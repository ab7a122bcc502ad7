"""Who owns which field: ordinary writes, server-side apply, conflicts, and the algebra of field sets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lateen.errors import ConflictError
from lateen.kube.managedfields import apply, lastapplied, track
from lateen.kube.managedfields.entries import Manager
from lateen.kube.managedfields.fieldset import SELF, Fields, difference, fields_of, intersection, is_member, paths, union
from lateen.kube.meta import Object, edit
from lateen.kube.schemas import from_openapi, type_of

DEPLOYMENT, CONFIGMAP, POD, SERVICE = (
    type_of(*t) for t in (("apps", "v1", "Deployment"), ("", "v1", "ConfigMap"), ("", "v1", "Pod"), ("", "v1", "Service"))
)
OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def update(name: str, subresource: str = "", version: str = "apps/v1") -> Manager:
    return Manager(name, "Update", version, subresource)


def applier(name: str, version: str = "apps/v1") -> Manager:
    return Manager(name, "Apply", version)


def deployment(replicas: int | None = 1, labels: dict[str, str] | None = None, **images: str) -> Object:
    containers = [{"name": n, "image": i} for n, i in images.items()]
    spec: Object = {"template": {"spec": {"containers": containers}}} if images else {}
    spec |= {} if replicas is None else {"replicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": labels or {"app": "web"}},
        "spec": spec,
    }


def owners(obj: Object) -> dict[str, Any]:
    return {e["manager"]: e["fieldsV1"] for e in obj["metadata"].get("managedFields") or ()}


def owned_paths(obj: Object, manager: str) -> list[str]:
    return list(paths(owners(obj).get(manager, {})))


def written(old: Object | None, new: Object, manager: Manager, now: str = OLD, node: Any = DEPLOYMENT) -> Object:
    new = edit(new)
    track(old, new, manager=manager, now=now, node=node)
    return new


def applied(
    live: Object | None, config: Object, name: str, now: str = OLD, *, force: bool = False, node: Any = DEPLOYMENT
) -> Object:
    return apply(live, edit(config), manager=applier(name), force=force, now=now, node=node)


# --- ordinary writes


def test_a_create_owns_what_it_sets_and_nothing_of_the_servers() -> None:
    obj = written(None, {**deployment(2, a="i"), "status": {"replicas": 1}}, update("kubectl"))
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "kubectl",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": OLD,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:replicas": {},
                    "f:template": {
                        "f:spec": {"f:containers": {".": {}, 'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}}}},
                    },
                },
            },
        }
    ]


def test_a_status_write_owns_status_only_and_says_its_subresource() -> None:
    old = written(None, deployment(2, a="i"), update("kubectl"))
    new = written(old, {**old, "status": {"replicas": 2}}, update("controller", "status"), NEW)
    (mine,) = [e for e in new["metadata"]["managedFields"] if e["manager"] == "controller"]
    assert (mine["subresource"], mine["time"], mine["fieldsV1"]) == ("status", NEW, {"f:status": {"f:replicas": {}}})
    assert owners(new)["kubectl"] == owners(old)["kubectl"]


def test_an_update_takes_over_what_it_changes_and_only_that() -> None:
    old = written(None, deployment(2, a="i", b="i"), update("one"))
    changed = deployment(3, a="j", b="i")
    new = written(old, changed, update("two"), NEW)
    assert sorted(owned_paths(new, "two")) == [".spec.replicas", '.spec.template.spec.containers[name="a"].image']
    assert ".spec.replicas" not in owned_paths(new, "one")
    assert '.spec.template.spec.containers[name="a"].name' in owned_paths(new, "one")
    times = {e["manager"]: e["time"] for e in new["metadata"]["managedFields"]}
    assert times == {"one": OLD, "two": NEW}


def test_what_is_removed_has_no_owner() -> None:
    old = written(None, deployment(2, {"app": "web", "tier": "x"}, a="i", b="i"), update("one"))
    new = written(old, deployment(2, {"app": "web"}, a="i"), update("two"), NEW)
    assert not any("tier" in p or '"b"' in p for p in owned_paths(new, "one"))
    assert "two" not in owners(new)


def test_a_write_that_changes_nothing_keeps_every_time() -> None:
    old = written(None, deployment(2, a="i"), update("one"))
    assert written(old, deployment(2, a="i"), update("two"), NEW)["metadata"] == old["metadata"]


def test_a_map_that_fills_up_is_owned_by_its_keys() -> None:
    old = written(None, {"metadata": {"name": "c"}, "data": {}, "immutable": False}, update("one"), node=CONFIGMAP)
    new = written(old, {"metadata": {"name": "c"}, "data": {"k": "v"}, "immutable": False}, update("two"), NEW, node=CONFIGMAP)
    assert owned_paths(new, "two") == [".data.k"]


def test_atomic_lists_sets_and_keyed_lists() -> None:
    ports = [{"port": 80, "protocol": "TCP", "name": "a"}, {"port": 80, "protocol": "UDP"}]
    service = written(
        None, {"metadata": {"finalizers": ["x"]}, "spec": {"ports": ports, "externalIPs": ["1.2.3.4"]}}, update("m"), node=SERVICE
    )
    assert set(owned_paths(service, "m")) >= {
        ".spec.externalIPs",
        '.metadata.finalizers[="x"]',
        '.spec.ports[port=80,protocol="TCP"].name',
        '.spec.ports[port=80,protocol="UDP"]',
    }
    tolerations = written(None, {"metadata": {}, "spec": {"tolerations": [{"key": "a"}]}}, update("m"), node=POD)
    assert owned_paths(tolerations, "m") == [".spec.tolerations"]


def test_owners_can_be_edited_forgotten_and_not_from_a_subresource() -> None:
    old = written(None, deployment(2, a="i"), update("one"))
    moved = edit(old)
    moved["metadata"]["managedFields"][0].update(manager="two", operation="Apply")
    assert list(owners(written(old, moved, update("editor"), NEW))) == ["two"]
    assert list(owners(written(old, moved, update("editor", "status"), NEW))) == ["one"]
    broken = edit(old)
    broken["metadata"]["managedFields"][0]["operation"] = "Burn"
    assert written(old, broken, update("editor"), NEW)["metadata"] == old["metadata"]
    stripped = written(old, {**old, "metadata": {**old["metadata"], "managedFields": [{}]}}, update("editor"), NEW)
    assert "managedFields" not in stripped["metadata"]
    assert "managedFields" not in written(stripped, deployment(5, a="i"), update("editor"), NEW)["metadata"]


def test_many_managers_are_folded_into_ancient_changes() -> None:
    obj = written(None, {"metadata": {"name": "c"}, "data": {"k": "v"}}, update("m0", version="v1"), node=CONFIGMAP)
    for i in range(1, 14):
        now = f"2026-01-01T00:00:{i:02}Z"
        data = {**obj["data"], f"k{i}": "v"}
        obj = written(obj, {"metadata": {"name": "c"}, "data": data}, update(f"m{i}", version="v1"), now, node=CONFIGMAP)
    assert list(owners(obj)) == ["ancient-changes", *(f"m{i}" for i in range(5, 14))]
    assert set(owned_paths(obj, "ancient-changes")) == {".data", ".data.k", *(f".data.k{i}" for i in range(1, 5))}


# --- server-side apply


def test_apply_creates_and_owns_leaves() -> None:
    obj = applied(None, deployment(1, a="i"), "x")
    assert owned_paths(obj, "x") == [
        ".metadata.labels.app",
        '.spec.template.spec.containers[name="a"]',
        '.spec.template.spec.containers[name="a"].name',
        '.spec.template.spec.containers[name="a"].image',
        ".spec.replicas",
    ]
    assert obj["metadata"]["managedFields"][0]["operation"] == "Apply"


def test_what_is_not_applied_any_more_goes_unless_another_owns_it() -> None:
    live = applied(None, deployment(1, {"app": "web", "a": "1", "b": "2"}, a="i", b="i"), "x")
    live = applied(live, deployment(None, {"b": "2"}), "y")
    live = applied(live, deployment(1, {"app": "web"}, a="i"), "x", NEW)
    assert live["metadata"]["labels"] == {"app": "web", "b": "2"}
    assert [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == ["a"]
    assert owned_paths(live, "y") == [".metadata.labels.b", ".spec"]


def test_what_an_ordinary_writer_set_stays() -> None:
    live = applied(None, deployment(1, a="i"), "x")
    defaulted = edit(live)
    defaulted["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    live = written(live, defaulted, update("defaulter"), NEW)
    live = applied(live, deployment(1, a="j"), "x", NEW)
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "a", "image": "j", "imagePullPolicy": "Always"}]


def test_one_conflict_in_kubernetes_words() -> None:
    live = written(None, deployment(1, a="i"), update("kubectl"))
    with pytest.raises(ConflictError) as caught:
        applied(live, deployment(2, a="i"), "x", NEW)
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas'
    assert caught.value.details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "kubectl" using apps/v1', "field": ".spec.replicas"}
    ]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = written(None, deployment(1, a="i"), update("hpa", "scale"))
    live = applied(live, deployment(None, {"app": "web", "tier": "x"}), "y")
    with pytest.raises(ConflictError) as caught:
        applied(live, deployment(2, {"app": "web", "tier": "z"}, a="j"), "x", NEW)
    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "hpa" with subresource "scale" using apps/v1:\n'
        "- .spec.replicas\n"
        '- .spec.template.spec.containers[name="a"].image\n'
        'conflicts with "y":\n'
        "- .metadata.labels.tier"
    )


def test_force_takes_the_fields_and_equal_values_are_shared() -> None:
    live = written(None, deployment(1, a="i"), update("kubectl"))
    shared = applied(live, deployment(1, a="i"), "x", NEW)
    assert ".spec.replicas" in owned_paths(shared, "kubectl")
    assert ".spec.replicas" in owned_paths(shared, "x")
    forced = applied(shared, deployment(5, a="i"), "x", NEW, force=True)
    assert forced["spec"]["replicas"] == 5
    assert ".spec.replicas" not in owned_paths(forced, "kubectl")


def test_applying_the_same_again_changes_nothing_whatever_the_version() -> None:
    live = applied(None, deployment(1, a="i", b="j"), "x")
    again = apply(live, deployment(1, a="i", b="j"), manager=applier("x", "apps/v2"), force=False, now=NEW, node=DEPLOYMENT)
    assert len(again["metadata"]["managedFields"]) == 1
    assert applied(live, deployment(1, a="i", b="j"), "x", NEW) == live


def test_an_untracked_object_belongs_to_before_first_apply() -> None:
    live = deployment(1, a="i")
    with pytest.raises(ConflictError, match=r'"before-first-apply" using apps/v1: \.spec\.replicas'):
        applied(live, deployment(2), "x", NEW)
    assert set(owners(applied(live, deployment(1, a="i"), "x", NEW))) == {"before-first-apply", "x"}


def test_ownership_moved_from_an_updater_goes_with_what_is_left_out() -> None:
    """As kubectl does when it takes an object from client-side to server-side apply."""
    created = written(None, deployment(2, a="i", b="i"), update("csa"))
    created["metadata"]["managedFields"][0].update(manager="x", operation="Apply")
    live = applied(created, deployment(None, a="j"), "x", NEW)
    assert live["spec"] == {"template": {"spec": {"containers": [{"name": "a", "image": "j"}]}}}
    assert live["metadata"]["labels"] == {"app": "web"}


def test_kubectl_owns_what_its_annotation_says_and_nobody_changed() -> None:
    said = deployment(2, a="i")
    annotations = {lastapplied.ANNOTATION: json.dumps(said)}
    live = written(None, {**said, "metadata": {**said["metadata"], "annotations": annotations}}, update("csa"))
    result = applied(live, deployment(3, a="i"), "kubectl", NEW)
    assert result["spec"]["replicas"] == 3
    assert json.loads(result["metadata"]["annotations"][lastapplied.ANNOTATION])["spec"]["replicas"] == 3
    with pytest.raises(ConflictError):
        applied(live, deployment(3, a="i"), "other", NEW)
    scaled = written(live, {**live, "spec": {**live["spec"], "replicas": 7}}, update("hpa"), NEW)
    with pytest.raises(ConflictError, match=r'conflict with "hpa" using apps/v1: \.spec\.replicas'):
        applied(scaled, deployment(3, a="i"), "kubectl", NEW)
    for unreadable in ("", "{", "[]", '{"apiVersion": "apps/v2"}'):
        odd = edit(live)
        odd["metadata"]["annotations"][lastapplied.ANNOTATION] = unreadable
        with pytest.raises(ConflictError):
            applied(odd, deployment(3, a="i"), "kubectl", NEW)


def test_list_items_keep_their_place() -> None:
    live = written(None, deployment(1, sidecar="s", a="i", tail="t"), update("injector"))
    merged = applied(live, deployment(1, a="i", b="i"), "x", NEW)
    assert [c["name"] for c in merged["spec"]["template"]["spec"]["containers"]] == ["sidecar", "a", "tail", "b"]


def test_an_atomic_map_or_list_is_replaced_whole() -> None:
    def service(**selector: str) -> Object:
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": selector}}

    live = applied(None, service(app="a"), "x", node=SERVICE)
    with pytest.raises(ConflictError, match=r": \.spec\.selector$"):
        applied(live, service(tier="b"), "y", node=SERVICE)
    assert applied(live, service(tier="b"), "y", node=SERVICE, force=True)["spec"]["selector"] == {"tier": "b"}


def test_neither_argument_changes() -> None:
    live = applied(None, deployment(1, {"app": "web", "x": "1"}, a="i"), "x")
    config, before = deployment(2, a="j"), edit(live)
    unchanged = edit(config)
    result = apply(live, config, manager=applier("x"), force=False, now=NEW, node=DEPLOYMENT)
    result["spec"]["template"]["spec"]["containers"][0]["image"] = "changed"
    assert (live, config) == (before, unchanged)


def test_custom_resources_follow_their_schema() -> None:
    items: Object = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}
    items["items"] = {"type": "object", "properties": {"id": {"type": "string"}, "v": {"type": "integer"}}}
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {"type": "object", "properties": {"items": items, "free": free, "tags": {"type": "array", "items": {"type": "string"}}}}
    node = from_openapi({"type": "object", "properties": {"spec": spec}})

    def thing(**spec: Any) -> Object:
        return {"apiVersion": "x/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}

    live = applied(None, thing(items=[{"id": "a", "v": 1}], free={"deep": {"k": 1}}, tags=["a"]), "x", node=node)
    live = applied(live, thing(items=[{"id": "b", "v": 2}], free={"deep": {"l": 2}}), "y", node=node)
    assert live["spec"] == {"items": [{"id": "a", "v": 1}, {"id": "b", "v": 2}], "free": {"deep": {"k": 1, "l": 2}}, "tags": ["a"]}
    assert ".spec.tags" in owned_paths(live, "x")
    live = applied(live, thing(items=[{"id": "b", "v": 2}]), "y", node=node)
    assert live["spec"]["free"] == {"deep": {"k": 1}}


# --- the algebra

_STEPS = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"n":1}'])
_NODES: st.SearchStrategy[Fields] = st.recursive(
    st.just({}),
    lambda inner: st.builds(
        lambda children, member: {SELF: {}, **children} if member else children,
        st.dictionaries(_STEPS, inner, min_size=1, max_size=3),
        st.booleans(),
    ),
    max_leaves=8,
)
FIELD_SETS = st.dictionaries(_STEPS, _NODES, max_size=3)


def members(fields: Fields, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for step, sub in fields.items():
        if step != SELF:
            found |= ({(*at, step)} if is_member(sub) else set()) | members(sub, (*at, step))
    return found


@given(FIELD_SETS, FIELD_SETS)
@settings(max_examples=200, deadline=None)
def test_field_sets_are_sets(a: Fields, b: Fields) -> None:
    assert members(union(a, b)) == members(a) | members(b)
    assert members(difference(a, b)) == members(a) - members(b)
    assert members(intersection(a, b)) == members(a) & members(b)


def test_fields_of_an_apply_have_no_containers() -> None:
    found = fields_of(DEPLOYMENT, deployment(1, a="i"), containers=False)
    assert found["f:metadata"] == {"f:name": {}, "f:labels": {"f:app": {}}}
