"""Stories of the Deployment planner: what kube-controller-manager would do next."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lateen.cluster.controllers import deployment_plan as plan
from lateen.kube.meta import Object, condition

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def deployment(replicas: int, *, image: str = "new", surge: Any = "25%", unavailable: Any = "25%", **spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "generation": 2, "uid": "d"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
            "template": template(image),
        }
        | spec,
    }


def template(image: str, **labels: str) -> Object:
    return {"metadata": {"labels": {"app": "web", **labels}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def replica_set(
    name: str, size: int, *, available: int | None = None, total: int | None = None, born: int = 0, **notes: str
) -> Object:
    annotations = {"deployment.kubernetes.io/" + k.replace("_", "-"): v for k, v in notes.items()}
    count = size if total is None else total
    return {
        "metadata": {
            "name": f"web-{name}",
            "uid": name,
            "creationTimestamp": f"2026-01-01T00:00:{born:02d}Z",
            "annotations": annotations,
            "generation": 1,
        },
        "spec": {"replicas": size, "template": template(name, **{"pod-template-hash": name})},
        "status": {
            "replicas": count,
            "readyReplicas": count if available is None else available,
            "availableReplicas": count if available is None else available,
            "observedGeneration": 1,
        },
    }


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "bounds"),
    [
        (10, "25%", "25%", (3, 2)),  # up for surge, down for unavailable
        (1, "25%", "25%", (1, 0)),
        (3, 0, 0, (0, 1)),  # both 0: one must go first
        (3, "0%", "10%", (0, 1)),
        (2, 1, 5, (1, 2)),  # never more unavailable than wanted
        (0, "25%", "25%", (0, 0)),
        (4, "100%", 0, (4, 0)),
    ],
)
def test_bounds(replicas: int, surge: Any, unavailable: Any, bounds: tuple[int, int]) -> None:
    assert plan.bounds(deployment(replicas, surge=surge, unavailable=unavailable)) == bounds


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "new", "old", "sizes"),
    [
        # (new size, new available), (old size, old available) -> sizes
        (10, 3, 2, (0, 0), (10, 10), {"new": 3}),  # first the new one, within the surge
        (10, 3, 2, (3, 0), (10, 10), {"new": 3, "old": 8}),  # then the old one, as far as may be unavailable
        (10, 3, 2, (3, 3), (10, 10), {"new": 3, "old": 5}),
        (10, 3, 2, (3, 0), (8, 8), {"new": 5}),  # room again
        (10, 3, 2, (5, 0), (8, 8), {"new": 5}),  # nothing until something becomes ready
        (10, 0, 2, (0, 0), (10, 10), {"new": 0, "old": 8}),  # without surge the old one goes first
        (10, 0, 2, (2, 0), (8, 8), {"new": 2}),
        (10, 0, 2, (2, 1), (8, 8), {"new": 2, "old": 7}),
        (3, 1, 0, (1, 0), (3, 3), {"new": 1}),  # a stuck update keeps every old pod
        (3, 1, 0, (1, 1), (3, 3), {"new": 1, "old": 2}),
        (4, 1, 0, (1, 0), (4, 2), {"new": 1}),  # broken old pods stay when nothing may be missing
        (4, 1, 2, (1, 0), (4, 2), {"new": 1, "old": 2}),  # otherwise they go before the good ones
        (3, 1, 1, (5, 5), (0, 0), {"new": 3}),  # too large: down to what is wanted
        (3, 1, 1, (3, 3), (1, 1), {"new": 3, "old": 0}),
    ],
)
def test_a_rolling_update_steps(
    replicas: int, surge: int, unavailable: int, new: tuple[int, int], old: tuple[int, int], sizes: dict[str, int]
) -> None:
    wanted = deployment(replicas, surge=surge, unavailable=unavailable)
    fresh = replica_set("new", new[0], available=new[1], born=2)
    stale = replica_set("old", old[0], available=old[1], born=1)
    assert plan.rolling(wanted, fresh, [stale]) == sizes


def test_pods_that_are_going_are_not_available() -> None:
    """The old set was made smaller; its status still counts the pods that leave."""
    wanted = deployment(10, surge=0, unavailable=2)
    new, old = replica_set("new", 2, available=1), replica_set("old", 8, available=10)
    assert plan.rolling(wanted, new, [old]) == {"new": 2, "old": 7}


@pytest.mark.parametrize("replicas", [1, 2, 3, 7, 10, 50])
@pytest.mark.parametrize(("surge", "unavailable"), [(0, 1), (1, 0), ("25%", "25%"), ("100%", 0), (0, "100%"), ("10%", "30%")])
@pytest.mark.parametrize("start", [{"old": "full"}, {"old": "half"}])
def test_a_rollout_keeps_its_bounds_and_ends(replicas: int, surge: Any, unavailable: Any, start: dict[str, str]) -> None:
    """Simulated step by step: never more than the surge, never fewer available than allowed, and it ends."""
    wanted = deployment(replicas, surge=surge, unavailable=unavailable)
    most, fewest = plan.bounds(wanted)
    good = replicas if start["old"] == "full" else replicas // 2
    sizes, ready = {"new": 0, "old": replicas}, {"new": 0, "old": good}
    for _ in range(10 * replicas + 10):
        sets = {n: replica_set(n, sizes[n], available=ready[n], born=int(n == "new")) for n in sizes}
        sizes |= plan.rolling(wanted, sets["new"], [sets["old"]])
        assert sum(sizes.values()) <= replicas + most
        before = sum(ready.values())
        ready["old"] = min(ready["old"], sizes["old"])
        assert sum(ready.values()) >= min(before, replicas - fewest)
        ready["new"] = min(sizes["new"], ready["new"] + 1)  # one becomes ready at a time
        if sizes == {"new": replicas, "old": 0} and ready["new"] == replicas:
            return
    raise AssertionError(f"it does not end: {sizes}")


def test_scaling_is_shared_in_proportion() -> None:
    wanted = deployment(20, surge=0, unavailable=1)
    big = replica_set("old", 8, born=1, desired_replicas="10", max_replicas="10")
    small = replica_set("new", 2, available=1, born=2, desired_replicas="10", max_replicas="10")
    assert plan.is_scaling(wanted, [big, small])
    assert plan.proportional(wanted, [big, small]) == {"old": 16, "new": 4}


def test_a_finished_rollout_scales_the_new_set_alone() -> None:
    wanted = deployment(5)
    new = replica_set("new", 3, born=2, desired_replicas="3", max_replicas="4")
    old = replica_set("old", 0, born=1)
    assert plan.proportional(wanted, [new, old]) == {"new": 5}


def test_an_unchanged_size_is_no_scaling() -> None:
    assert not plan.is_scaling(deployment(3), [replica_set("new", 3, desired_replicas="3", max_replicas="4")])


def test_history_keeps_the_newest() -> None:
    sets = [replica_set(f"v{i}", 0, revision=str(i)) for i in (3, 1, 2)] + [replica_set("new", 1, revision="4")]
    gone = plan.beyond_history(deployment(1, revisionHistoryLimit=1), sets)
    assert [s["metadata"]["uid"] for s in gone] == ["v1", "v2"]


def test_going_back_makes_the_old_set_the_newest_revision() -> None:
    old, new = replica_set("old", 0, revision="1"), replica_set("new", 3, revision="2")
    back = deployment(3, image="old")
    assert plan.find_new(back, [old, new]) is old
    notes = plan.annotations_for(back, old, str(plan.max_revision(plan.old_sets([old, new], old)) + 1))
    assert notes[plan.REVISION] == "3"
    assert notes[plan.HISTORY] == "1"


def test_a_collision_gives_another_name() -> None:
    first = deployment(1)
    second = first | {"status": {"collisionCount": 1}}
    assert plan.set_name(first) != plan.set_name(second)
    assert plan.set_name(first) == plan.set_name(deployment(9))


def test_new_sets_carry_the_hash_everywhere() -> None:
    made = plan.new_set(deployment(4), [], "1")
    name = made["metadata"]["labels"]["pod-template-hash"]
    assert made["metadata"]["name"] == f"web-{name}"
    assert made["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": name}
    assert made["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == name
    assert made["spec"]["replicas"] == 4


def progressing(status: Object) -> Any:
    return condition(status["conditions"], "Progressing")


def rolled(wanted: Object, sets: list[Object], after: float = 0, *, created: bool = False) -> tuple[Object, float | None]:
    """The Deployment with its next status, and when to look again."""
    status, wait = plan.rollout_status(wanted, sets, NOW + timedelta(seconds=after), created=created)
    return wanted | {"status": status}, wait


def test_the_life_of_progressing() -> None:
    d = deployment(2)
    d, wait = rolled(d, [replica_set("new", 2, total=0)], created=True)
    assert progressing(d["status"])["reason"] == "NewReplicaSetCreated"
    assert wait is not None
    assert 600 <= wait <= 602
    d, _ = rolled(d, [replica_set("new", 2, available=0)], 5)
    assert progressing(d["status"])["reason"] == "ReplicaSetUpdated"
    assert progressing(d["status"])["lastUpdateTime"] == "2026-01-01T12:00:05Z"
    assert progressing(d["status"])["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    d, wait = rolled(d, [replica_set("new", 2, available=0)], 300)
    assert wait == 600 - 295 + 1
    late, wait = rolled(d, [replica_set("new", 2, available=0)], 606)
    assert progressing(late["status"])["reason"] == "ProgressDeadlineExceeded"
    assert progressing(late["status"])["status"] == "False"
    assert wait is None
    done, wait = rolled(late, [replica_set("new", 2)], 700)
    assert progressing(done["status"])["reason"] == "NewReplicaSetAvailable"
    assert progressing(done["status"])["message"] == 'ReplicaSet "web-new" has successfully progressed.'
    assert wait is None


def test_a_finished_rollout_is_not_judged_when_pods_fail_later() -> None:
    d, _ = rolled(deployment(2), [replica_set("new", 2)], created=True)
    d, wait = rolled(d, [replica_set("new", 2, available=0)], 10_000)
    assert progressing(d["status"])["reason"] == "NewReplicaSetAvailable"
    assert wait is None
    available = condition(d["status"]["conditions"], "Available")
    assert available is not None
    assert (available["status"], available["reason"]) == ("False", "MinimumReplicasUnavailable")


def test_pausing_and_resuming_show() -> None:
    d, _ = rolled(deployment(2), [replica_set("new", 2)])
    d["spec"]["paused"] = True
    d["status"] = plan.counted_status(d, [replica_set("new", 2)], NOW)
    assert progressing(d["status"])["reason"] == "DeploymentPaused"
    d["spec"]["paused"] = False
    d["status"] = plan.counted_status(d, [replica_set("new", 2)], NOW)
    assert progressing(d["status"])["reason"] == "DeploymentResumed"


def test_the_failure_of_a_set_shows() -> None:
    failed = replica_set("new", 2, total=0)
    failed["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]
    d, _ = rolled(deployment(2), [failed])
    found = condition(d["status"]["conditions"], "ReplicaFailure")
    assert found is not None
    assert found["message"] == "quota"
    d, _ = rolled(d, [replica_set("new", 2)], 1)
    assert condition(d["status"]["conditions"], "ReplicaFailure") is None


def test_without_a_deadline_progress_is_not_told() -> None:
    d, wait = rolled(deployment(2, progressDeadlineSeconds=2**31 - 1), [replica_set("new", 2)])
    assert progressing(d["status"]) is None
    assert wait is None


def test_counts() -> None:
    d, _ = rolled(deployment(4), [replica_set("new", 3, available=1), replica_set("old", 2)])
    counts = {k: v for k, v in d["status"].items() if k != "conditions"}
    assert counts == {
        "observedGeneration": 2,
        "replicas": 5,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "unavailableReplicas": 2,
    }


def test_pods_that_are_going_are_told_where_every_set_tells() -> None:
    sets = [replica_set("new", 3), replica_set("old", 2)]
    sets[0]["status"]["terminatingReplicas"] = 0
    assert "terminatingReplicas" not in plan.counted_status(deployment(4), sets, NOW)
    sets[1]["status"]["terminatingReplicas"] = 2
    assert plan.counted_status(deployment(4), sets, NOW)["terminatingReplicas"] == 2
