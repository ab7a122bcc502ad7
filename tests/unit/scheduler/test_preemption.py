"""Of several nodes, the one whose pods matter least: kube-scheduler's pickOneNodeForPreemption, rule by rule."""

from typing import Any

import pytest

from lateen.cluster.scheduler import preemption
from lateen.cluster.scheduler.demand import demand_of
from lateen.cluster.scheduler.state import Cluster, NodeState
from lateen.kube.meta import Object


def pod(name: str, priority: int, *, started: str = "", **labels: str) -> Object:
    status = {"startTime": started} if started else {}
    metadata = {"name": name, "namespace": "default", "uid": name, "labels": labels}
    return {"metadata": metadata, "spec": {"priority": priority, "containers": [{"name": "c"}]}, "status": status}


def chosen(on: dict[str, list[Object]]) -> str:
    """The node that is taken when a pod of priority 100 needs one for itself."""
    cluster = Cluster()
    kept = {"selector": {"matchLabels": {"app": "kept"}}}
    cluster.set_budget({"metadata": {"name": "b", "namespace": "default"}, "spec": kept, "status": {"disruptionsAllowed": 0}})
    for node, pods in on.items():
        for placed in pods:
            cluster.set_pod(placed, node)

    def alone(node: NodeState) -> bool:
        return not node.placed

    found = preemption.choose(demand_of(pod("new", 100)), cluster.nodes.values(), tuple(cluster.budgets.values()), alone)
    assert found is not None
    return found.node


EARLY, LATE = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ([pod("a", 1, app="kept")], [pod("b", 50)]),  # a budget is not broken for priority's sake
        ([pod("a", 6)], [pod("b", 5), pod("c", 5)]),  # the highest priority
        ([pod("a", 5), pod("b", 4)], [pod("c", 5), pod("d", 3)]),  # their sum
        ([pod("a", 5), pod("b", -3)], [pod("c", 5)]),  # where a negative one does not make up for a pod more
        ([pod("a", 5, started=EARLY)], [pod("b", 5, started=LATE)]),  # what has run for the shorter time
    ],
)
def test_what_matters_least_goes(worse: list[Any], better: list[Any]) -> None:
    assert chosen({"w": worse, "b": better}) == chosen({"b": better, "w": worse}) == "b"


def test_candidates_are_bounded_but_one_without_a_broken_budget_is_looked_for() -> None:
    many = {f"n{i:03}": [pod(f"p{i}", 5, app="kept")] for i in range(150)}
    assert chosen(many | {"late": [pod("x", 50)]}) == "late"
    assert chosen({f"n{i:03}": [pod(f"p{i}", 5)] for i in range(150)} | {"late": [pod("x", 1)]}) != "late"
