"""The pure decisions of the smaller controllers: endpoints, deletion order, budgets, tolerations."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lateen.cluster.controllers import endpoints, endpointslice, node, poddisruption, replicaset, volumes
from lateen.kube.meta import Object, meta, timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(name: str, *, ready: bool = True, serving: bool = True, ip: str = "127.64.0.1", **more: Any) -> Object:
    def condition(kind: str, yes: bool) -> Object:
        return {"type": kind, "status": "True" if yes else "False", "lastTransitionTime": more.get("since", timestamp(NOW))}

    spec: Object = {"nodeName": more.get("node", "n1"), "containers": [{"name": "c", "ports": more.get("ports", [])}]}
    metadata: Object = {"name": name, "namespace": "default", "uid": more.get("uid", name), "labels": {"app": "web"}}
    metadata["creationTimestamp"] = more.get("born", timestamp(NOW))
    if more.get("terminating"):
        metadata["deletionTimestamp"] = timestamp(NOW)
    if "cost" in more:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": more["cost"]}
    status = {
        "phase": more.get("phase", "Running"),
        "podIP": ip,
        "conditions": [condition("Ready", ready), condition("ContainersReady", serving)],
        "containerStatuses": [{"restartCount": more.get("restarts", 0)}],
    }
    return {"metadata": metadata, "spec": spec | more.get("spec", {}), "status": status}


def service(**spec: Any) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "s", "labels": {"team": "x"}},
        "spec": {"selector": {"app": "web"}, "ports": ports, "clusterIP": "127.96.0.5"} | spec,
    }


def sliced(svc: Object, pods: list[Object], existing: list[Object] | None = None) -> list[Object]:
    return endpointslice.plan(svc, pods, existing or [], lambda _: "zone-a")


@pytest.mark.parametrize(
    ("made", "conditions"),
    [
        (pod("p"), (True, True, False)),
        (pod("p", ready=False), (False, True, False)),  # waits for the data plane: serving, not ready
        (pod("p", ready=False, serving=False), (False, False, False)),
        (pod("p", terminating=True), (False, True, True)),
        (pod("p", ready=False, serving=False, terminating=True), (False, False, True)),
    ],
)
def test_what_an_endpoint_says(made: Object, conditions: tuple[bool, bool, bool]) -> None:
    found = endpointslice.endpoint(service(), made, lambda _: "")["conditions"]
    assert (found["ready"], found["serving"], found["terminating"]) == conditions


def test_not_ready_addresses_are_published_where_asked() -> None:
    waiting = pod("p", ready=False, serving=False)
    found = endpointslice.endpoint(service(publishNotReadyAddresses=True), waiting, lambda _: "")["conditions"]
    assert (found["ready"], found["serving"]) == (True, False)


def test_a_slice() -> None:
    (found,) = sliced(service(), [pod("p")])
    assert found["metadata"]["generateName"] == "web-"
    assert found["metadata"]["labels"] == {
        "team": "x",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert found["metadata"]["ownerReferences"][0]["uid"] == "s"
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    (endpoint,) = found["endpoints"]
    assert (endpoint["addresses"], endpoint["nodeName"], endpoint["zone"]) == (["127.64.0.1"], "n1", "zone-a")
    assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "default", "name": "p", "uid": "p"}


def test_a_service_without_pods_has_an_empty_slice_and_keeps_one() -> None:
    (empty,) = sliced(service(), [])
    assert empty["endpoints"] == []
    old = sliced(service(), [pod("p")])[0]
    old["metadata"]["name"] = "web-1"
    (kept,) = sliced(service(), [], [old])
    assert meta(kept)["name"] == "web-1"


def test_headless_services_name_their_pods() -> None:
    named = pod("p", spec={"hostname": "db-0", "subdomain": "web"})
    (found,) = sliced(service(clusterIP="None"), [named])
    assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert found["endpoints"][0]["hostname"] == "db-0"


def test_named_ports_are_those_of_each_pod() -> None:
    svc = service(ports=[{"name": "http", "port": 80, "targetPort": "web"}])
    pods = [
        pod(f"p{number}", ports=[{"name": "web", "containerPort": number}] if number else [], ip=f"127.64.0.{i}")
        for i, number in enumerate((8080, 9090, 0))
    ]
    found = sliced(svc, pods)
    assert sorted((s["ports"][0]["port"], len(s["endpoints"])) for s in found) == [(8080, 1), (9090, 1)]


def test_endpoints_stay_where_they_are() -> None:
    pods = [pod(f"p{i:03}") for i in range(250)]
    slices = sliced(service(), pods)
    assert [len(s["endpoints"]) for s in slices] == [100, 100, 50]
    for i, s in enumerate(slices):
        s["metadata"]["name"] = f"web-{i}"
    again = sliced(service(), [p for p in pods if p["metadata"]["name"] != "p010"] + [pod("q")], slices)
    changed = [meta(s)["name"] for s, old in zip(again, slices, strict=True) if s["endpoints"] != old["endpoints"]]
    assert changed == ["web-0"]  # one left the first slice, and the new one takes its place
    assert [len(s["endpoints"]) for s in again] == [100, 100, 50]


def test_finished_pods_and_pods_without_address_are_no_endpoints() -> None:
    assert not endpointslice.has_address(pod("p", phase="Failed"))
    assert not endpointslice.has_address(pod("p", ip=""))


def test_endpoints_leave_out_who_is_going() -> None:
    (found,) = endpoints.subsets(service(), [pod("a"), pod("b", ready=False), pod("c", terminating=True)])
    assert [a["targetRef"]["name"] for a in found["addresses"]] == ["a"]
    assert [a["targetRef"]["name"] for a in found["notReadyAddresses"]] == ["b"]


OLD = timestamp(NOW - timedelta(hours=5))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("a", node=""), pod("b", phase="Pending", ready=False)),  # without a node
        (pod("a", phase="Pending", ready=False), pod("b", ready=False)),
        (pod("a", ready=False), pod("b")),
        (pod("a", cost="-1"), pod("b", cost="nonsense")),
        (pod("a", node="crowded"), pod("b", node="free")),
        (pod("a"), pod("b", since=OLD)),  # ready for a shorter time
        (pod("a", restarts=3), pod("b")),
        (pod("a"), pod("b", born=OLD)),
    ],
)
def test_who_goes_first(first: Object, second: Object) -> None:
    crowd = {"crowded": 3, "free": 1, "n1": 1}
    for pods in ([first, second], [second, first]):
        assert replicaset.victims(pods, 1, crowd=crowd, now=NOW) == [first]


def test_a_pod_of_the_template() -> None:
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"containers": []}}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-1", "namespace": "n", "uid": "u"}}
    made = replicaset.pod_from(owner | {"spec": {"template": template}})
    assert made["metadata"]["generateName"] == "web-1-"
    assert made["metadata"]["ownerReferences"] == [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": True, "blockOwnerDeletion": True}
    ]
    assert (made["metadata"]["labels"], made["metadata"]["annotations"]) == ({"a": "b"}, {"c": "d"})


def test_available_pods_have_been_ready_for_long_enough() -> None:
    spec = {"replicas": 2, "minReadySeconds": 10, "template": {"metadata": {"labels": {"app": "web"}}}}
    pods = [pod("a", since=timestamp(NOW - timedelta(seconds=11))), pod("b", since=timestamp(NOW - timedelta(seconds=4)))]
    status = replicaset.new_status({"metadata": {"generation": 3}, "spec": spec}, pods, None, NOW)
    assert status == {
        "replicas": 2,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "observedGeneration": 3,
    }
    assert replicaset.soonest_available(pods, 10, NOW) == 6
    ending = replicaset.new_status({"metadata": {}, "spec": spec}, [], None, NOW, ending=2)
    assert ending == {"replicas": 0, "terminatingReplicas": 2}


@pytest.mark.parametrize(
    ("spec", "healthy", "expected", "desired", "allowed"),
    [
        ({"minAvailable": 2}, 3, 3, 2, 1),
        ({"minAvailable": 5}, 3, 3, 5, 0),
        ({"minAvailable": "50%"}, 3, 5, 3, 0),  # up
        ({"minAvailable": "50%"}, 5, 5, 3, 2),
        ({"maxUnavailable": 1}, 3, 3, 2, 1),
        ({"maxUnavailable": "30%"}, 5, 5, 3, 2),  # up
        ({"maxUnavailable": 1}, 2, 4, 3, 0),  # two are missing already
        ({"maxUnavailable": 9}, 3, 3, 0, 3),
    ],
)
def test_budgets(spec: Object, healthy: int, expected: int, desired: int, allowed: int) -> None:
    pods = [pod(f"p{i}") for i in range(healthy)]
    status = poddisruption.new_status({"metadata": {"generation": 1}, "spec": spec}, pods, expected, NOW)
    assert (status["currentHealthy"], status["desiredHealthy"], status["disruptionsAllowed"]) == (healthy, desired, allowed)


def test_evicted_pods_count_as_disrupted_for_a_while() -> None:
    evicted = {"p0": timestamp(NOW - timedelta(seconds=30)), "p1": timestamp(NOW - timedelta(minutes=10)), "gone": timestamp(NOW)}
    budget = {"metadata": {}, "spec": {"minAvailable": 1}, "status": {"disruptedPods": evicted}}
    status = poddisruption.new_status(budget, [pod(f"p{i}") for i in range(3)], 3, NOW)
    assert status["currentHealthy"] == 2
    assert set(status["disruptedPods"]) == {"p0"}


def taint(key: str, seconds: float = 0, effect: str = "NoExecute") -> Object:
    return {"key": key, "effect": effect, "timeAdded": timestamp(NOW - timedelta(seconds=seconds))}


@pytest.mark.parametrize(
    ("tolerations", "left"),
    [
        ([], 0),
        ([{"key": "k", "operator": "Exists"}], None),
        ([{"operator": "Exists"}], None),
        ([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}], 0),
        ([{"key": "k", "operator": "Equal", "value": "v"}], 0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 300}], 290),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 5}], -5),
        ([{"operator": "Exists", "tolerationSeconds": 60}, {"key": "k", "operator": "Exists"}], 50),  # the first that covers it
        ([{"key": "k", "operator": "Exists"}, {"operator": "Exists", "tolerationSeconds": 60}], None),
    ],
)
def test_how_long_a_pod_may_stay(tolerations: list[Object], left: float | None) -> None:
    assert node.toleration_left({"spec": {"tolerations": tolerations}}, [taint("k", 10)], NOW) == left


def test_of_several_taints_the_shortest_time_counts() -> None:
    tolerations = [{"key": k, "operator": "Exists", "tolerationSeconds": s} for k, s in (("k", 300), ("l", 60), ("m", None))]
    taints = [taint("k", 280), taint("l", 10), taint("m")]
    assert node.toleration_left({"spec": {"tolerations": tolerations}}, taints, NOW) == 20
    assert node.toleration_left({"spec": {"tolerations": tolerations}}, [*taints, taint("n")], NOW) == 0


def test_taints_follow_conditions_and_foreign_ones_stay() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "True"}]}
    mine = {"key": "lateen.dev/fake", "effect": "NoSchedule"}
    stale = taint("node.kubernetes.io/unreachable")
    found = node.taints_for({"spec": {"taints": [mine, stale], "unschedulable": True}, "status": ready}, NOW)
    assert [(t["key"], t["effect"]) for t in found] == [
        ("lateen.dev/fake", "NoSchedule"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ]
    lost = node.taints_for({"spec": {"taints": [stale]}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, NOW)
    assert [(t["key"], t["effect"]) for t in lost] == [("node.kubernetes.io/unreachable", e) for e in ("NoExecute", "NoSchedule")]
    assert lost[0] is stale  # its time runs on


def test_the_newest_default_class_counts() -> None:
    def storage_class(name: str, born: str, default: str) -> Object:
        return {"metadata": {"name": name, "creationTimestamp": born, "annotations": {volumes.DEFAULT_CLASS: default}}}

    found = volumes.default_class([storage_class("a", "2026-01-02", "true"), storage_class("b", "2026-01-01", "true")])
    assert found is not None
    assert meta(found)["name"] == "a"
    assert volumes.default_class([storage_class("c", "2026-01-01", "false")]) is None
