"""JSON patch, merge patch, strategic merge patch: tables of (object, patch, result)."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.kube.meta import edit
from lateen.kube.patches.json import PatchError, json_patch
from lateen.kube.patches.merge import merge_patch
from lateen.kube.patches.strategic import strategic_merge
from lateen.kube.schemas import type_of

POD, SERVICE, DEPLOYMENT = type_of("", "v1", "Pod"), type_of("", "v1", "Service"), type_of("apps", "v1", "Deployment")


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        (
            {"a": 1},
            [{"op": "add", "path": "/b", "value": {"c": []}}, {"op": "add", "path": "/b/c/-", "value": 1}],
            {"a": 1, "b": {"c": [1]}},
        ),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
        ({"a": 1}, [{"op": "add", "path": "/a", "value": None}], {"a": None}),
        (
            {"x": {"a/b": 1, "m~n": 2}},
            [{"op": "remove", "path": "/x/a~1b"}, {"op": "replace", "path": "/x/m~0n", "value": 3}],
            {"x": {"m~n": 3}},
        ),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        (
            {"a": {"b": 1}},
            [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "add", "path": "/c/b", "value": 2}],
            {"a": {"b": 1}, "c": {"b": 2}},
        ),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": [1, {"b": 2}]}, [{"op": "test", "path": "/a", "value": [1, {"b": 2}]}], {"a": [1, {"b": 2}]}),
        ({}, [{"op": "test", "path": "/missing", "value": None}], {}),
        ({"": 1}, [{"op": "remove", "path": "/"}], {}),
    ],
)
def test_json_patch(target: Any, operations: Any, result: Any) -> None:
    before = edit(target)
    assert json_patch(target, operations) == result
    assert target == before


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([{"op": "test", "path": "/n", "value": 2}], "testing value /n failed: test failed"),
        ([{"op": "test", "path": "/n", "value": True}], "testing value /n failed: test failed"),
        ([{"op": "remove", "path": "/x"}], "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value"),
        ([{"op": "remove", "path": "/x/y"}], 'remove operation does not apply: doc is missing path: "/x/y": missing value'),
        ([{"op": "add", "path": "/x/y", "value": 1}], 'add operation does not apply: doc is missing path: "/x/y": missing value'),
        ([{"op": "add", "path": "/n/y", "value": 1}], 'add operation does not apply: doc is missing path: "/n/y": missing value'),
        ([{"op": "replace", "path": "/x", "value": 1}], "replace operation does not apply: doc is missing key: /x: missing value"),
        ([{"op": "add", "path": "/list/5", "value": 1}], "Unable to access invalid index: 5: invalid index referenced"),
        ([{"op": "add", "path": "/list/--1", "value": 1}], "Unable to access invalid index: --1: invalid index referenced"),
        (
            [{"op": "move", "from": "/x", "path": "/y"}],
            "move operation does not apply: doc is missing from path: /x: missing value",
        ),
    ],
)
def test_json_patch_that_does_not_fit(operations: Any, message: str) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch({"n": 1, "list": []}, operations)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "operations",
    [
        {},
        ["x"],
        [{"op": "add"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "jump", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "copy", "path": "/a"}],
    ],
)
def test_malformed_json_patch(operations: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        json_patch({}, operations)
    assert not isinstance(caught.value, PatchError)


# The table of RFC 7386, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: Any, patch: Any, result: Any) -> None:
    before = edit(target)
    assert merge_patch(target, patch) == result
    assert target == before


def test_patched_objects_share_nothing_with_their_source() -> None:
    old = {"spec": {"ports": [{"port": 80}], "type": "ClusterIP"}}
    patch = {"spec": {"type": "NodePort", "selector": {"a": "b"}}}
    for new in (merge_patch(old, patch), strategic_merge(old, patch, SERVICE), json_patch(old, [])):
        new["spec"]["ports"][0]["nodePort"] = 30000
        new["spec"].setdefault("selector", {})["c"] = "d"
    assert old == {"spec": {"ports": [{"port": 80}], "type": "ClusterIP"}}
    assert patch["spec"]["selector"] == {"a": "b"}


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def containers(*names: str) -> list[dict[str, Any]]:
    return [{"name": n, "image": "i"} for n in names]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        # Lists of things with a key merge by it; new ones go to the end.
        (
            pod(containers=containers("a", "b")),
            pod(containers=[{"name": "b", "image": "j"}, {"name": "c"}]),
            pod(containers=[{"name": "a", "image": "i"}, {"name": "b", "image": "j"}, {"name": "c"}]),
        ),
        (
            pod(containers=containers("a", "b")),
            pod(containers=[{"name": "a", "$patch": "delete"}]),
            pod(containers=containers("b")),
        ),
        (
            pod(containers=containers("a", "b")),
            pod(containers=[{"$patch": "replace"}, {"name": "c"}]),
            pod(containers=[{"name": "c"}]),
        ),
        (
            pod(containers=containers("a", "b")),
            pod(**{"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}], "containers": [{"name": "c"}]}),
            pod(containers=[{"name": "c"}, *containers("b"), *containers("a")]),
        ),
        # Not listed in the order: it stays behind the one it stood behind.
        (
            pod(containers=containers("a", "x", "b")),
            pod(**{"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            pod(containers=containers("b", "a", "x")),
        ),
        # Lists without a key are replaced whole.
        (
            pod(containers=[{"name": "a", "args": ["1", "2"]}]),
            pod(containers=[{"name": "a", "args": ["3"]}]),
            pod(containers=[{"name": "a", "args": ["3"]}]),
        ),
        (pod(tolerations=[{"key": "a"}]), pod(tolerations=[{"key": "b"}]), pod(tolerations=[{"key": "b"}])),
        # Primitive lists that merge: finalizers.
        ({"metadata": {"finalizers": ["a"]}}, {"metadata": {"finalizers": ["b", "a"]}}, {"metadata": {"finalizers": ["a", "b"]}}),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {
                "metadata": {
                    "$deleteFromPrimitiveList/finalizers": ["a"],
                    "$setElementOrder/finalizers": ["c", "b"],
                    "finalizers": ["c"],
                }
            },
            {"metadata": {"finalizers": ["c", "b"]}},
        ),
        # Maps.
        (pod(nodeSelector={"a": "1", "b": "2"}), pod(nodeSelector={"a": None, "c": "3"}), pod(nodeSelector={"b": "2", "c": "3"})),
        (pod(nodeSelector={"a": "1"}), pod(nodeSelector={"$patch": "replace", "b": "2"}), pod(nodeSelector={"b": "2"})),
        (pod(nodeSelector={"a": "1"}), pod(nodeSelector={"$patch": "delete"}), pod(nodeSelector={})),
        (pod(nodeSelector={"a": "1"}), pod(nodeSelector={"$patch": "merge", "b": "2"}), pod(nodeSelector={"a": "1", "b": "2"})),
        (pod(hostname="x"), pod(hostname=None), pod()),
        # A union: what is not retained goes.
        (
            pod(volumes=[{"name": "v", "emptyDir": {}}]),
            pod(volumes=[{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}}]),
            pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        ),
        # Nulls in what is added are not kept.
        (pod(), pod(containers=[{"name": "a", "image": None}]), pod(containers=[{"name": "a"}])),
    ],
)
def test_strategic_merge(target: Any, patch: Any, result: Any) -> None:
    before = edit(target)
    assert strategic_merge(target, patch, POD) == result
    assert target == before


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (pod(containers=[{"image": "i"}]), "does not contain declared merge key: name"),
        (pod(nodeSelector={"$patch": "burn"}), "Unknown patch type burn"),
        (pod(volumes=[{"$retainKeys": ["name"], "name": "v", "emptyDir": {}}]), "retainKeys"),
    ],
)
def test_wrong_strategic_merge(patch: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        strategic_merge(pod(volumes=[{"name": "v"}]), patch, POD)


def test_service_ports_merge_by_port_and_strategies_of_a_deployment_keep_their_keys() -> None:
    old = {"spec": {"ports": [{"port": 80, "name": "a"}]}}
    assert strategic_merge(old, {"spec": {"ports": [{"port": 81, "name": "b"}]}}, SERVICE)["spec"]["ports"] == [
        {"port": 80, "name": "a"},
        {"port": 81, "name": "b"},
    ]
    rolling = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    recreate = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(rolling, recreate, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}
