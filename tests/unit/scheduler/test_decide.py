"""Stories of placement: ``tests/golden/scheduler/*.in.yaml`` tell nodes and pods, ``.out.yaml`` where each pod went or why not.

A pod of a story is a spec with ``name`` (``replicas`` of it), ``labels``, ``requests``; ``on`` says that it already runs on a node.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lateen.cluster.scheduler.decide import Planner
from lateen.cluster.scheduler.state import Cluster
from lateen.kube.meta import Key, Uid

STORIES = Path(__file__).parents[2] / "golden" / "scheduler"
CASES = sorted(p.name.removesuffix(".in.yaml") for p in STORIES.glob("*.in.yaml"))
_uids = itertools.count()


def node(
    name: str,
    *,
    labels: Any = None,
    taints: Any = (),
    unschedulable: bool = False,
    ready: bool = True,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    **more: str,
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": [{"effect": "NoSchedule", **t} for t in taints], "unschedulable": unschedulable},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **more},
            "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}],
        },
    }


def pod(name: str, *, labels: Any = None, requests: Any = None, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "x", "resources": {"requests": requests or {}}, "ports": spec.pop("ports", [])}
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{next(_uids)}", "labels": labels or {}},
        "spec": {"containers": [container], **spec},
    }


def pods_of(story: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for entry in story["pods"]:
        replicas, on, name = entry.pop("replicas", 0), entry.pop("on", ""), entry.pop("name")
        for made in [pod(f"{name}-{i}", **entry) for i in range(replicas)] or [pod(name, **entry)]:
            yield made, on


def tell(story: dict[str, Any]) -> dict[str, str]:
    cluster = Cluster()
    planner, outcome = Planner(cluster), {}
    for name, facts in story["nodes"].items():
        cluster.set_node(node(name, **(facts or {})))
    for kind, objects in (story.get("storage") or {}).items():
        for obj in objects:
            cluster.set_storage(kind, obj)
    for budget in story.get("budgets") or ():
        cluster.set_budget(budget)
    for made, on in pods_of(story):
        if on:
            cluster.set_pod(made, on)
            continue
        decision = planner.decide(made)
        outcome[made["metadata"]["name"]] = decision.node or decision.message
        if found := decision.preemption:
            victims = ", ".join(p.key.name for p in found.victims)
            outcome[made["metadata"]["name"]] += f" [on {found.node} instead of {victims}]"
        if decision.node:
            cluster.set_pod(made, decision.node)
        for claim, volume in decision.volumes.matched:
            cluster.reserve(volume, Key(str(made["metadata"]["namespace"]), claim))
            outcome[made["metadata"]["name"]] += f" with {volume}"
    return outcome


@pytest.mark.parametrize("case", CASES)
def test_story(case: str, request: pytest.FixtureRequest) -> None:
    outcome = tell(yaml.safe_load((STORIES / f"{case}.in.yaml").read_text()))
    expected = STORIES / f"{case}.out.yaml"
    if request.config.getoption("--rewrite", default=False):
        expected.write_text(yaml.safe_dump(outcome, sort_keys=False, width=1000))
    assert outcome == yaml.safe_load(expected.read_text())


def test_there_are_stories() -> None:
    assert len(CASES) >= 10


# a plan that is kept answers as one made anew

_LABELS = st.fixed_dictionaries({"zone": st.sampled_from("ab")})
_TAINTS = st.sampled_from([(), ({"key": "t"},), ({"key": "t", "effect": "PreferNoSchedule"},)])
_SPREAD = {
    "topologyKey": "zone",
    "maxSkew": 1,
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"app": "a"}},
}
_AWAY = {
    "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "b"}}}]
}
_KINDS: list[dict[str, Any]] = [
    {"labels": {"app": "a"}, "requests": {"cpu": "1"}},
    {"labels": {"app": "b"}, "requests": {"memory": "3Gi"}},
    {"labels": {"app": "a"}, "requests": {"cpu": "500m"}, "topologySpreadConstraints": [_SPREAD]},
    {"labels": {"app": "c"}, "affinity": {"podAntiAffinity": _AWAY}},
    {"labels": {"app": "b"}, "tolerations": [{"key": "t", "operator": "Exists"}], "ports": [{"hostPort": 80}]},
    {"labels": {"app": "d"}, "affinity": {"podAffinity": _AWAY}},
]
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("node"), st.sampled_from(["n1", "n2", "n3", "n4"]), _LABELS, _TAINTS),
        st.tuples(st.just("drop"), st.sampled_from(["n1", "n2", "n3", "n4"])),
        st.tuples(st.just("place"), st.integers(0, len(_KINDS) - 1)),
        st.tuples(st.just("end"), st.integers(0, 30)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_kept_plans_decide_like_new_ones(steps: list[Any]) -> None:
    cluster, placed = Cluster(), list[dict[str, Any]]()
    planner = Planner(cluster)
    for step in steps:
        match step:
            case ("node", name, labels, taints):
                cluster.set_node(node(name, labels=labels, taints=taints))
            case ("drop", name):
                cluster.remove_node(name)
            case ("end", which) if placed:
                gone = placed.pop(which % len(placed))
                cluster.remove_pod(Uid(gone["metadata"]["uid"]))
            case ("place", kind):
                made = pod("p", **_KINDS[kind])
                kept, fresh = planner.decide(made), Planner(cluster).decide(made)
                assert bool(kept.node) == bool(fresh.node)
                assert kept.message == fresh.message
                if kept.node:
                    cluster.set_pod(made, kept.node)
                    placed.append(made)
    assert sum(n.pods for n in cluster.nodes.values()) == len(placed)
    for state in cluster.nodes.values():
        assert state.facts is None or state.requested.get("cpu", 0) <= 4000


def test_finished_pods_free_their_node() -> None:
    cluster = Cluster()
    cluster.set_node(node("n", cpu="1"))
    planner, first, second = Planner(cluster), pod("a", requests={"cpu": "1"}), pod("b", requests={"cpu": "1"})
    cluster.set_pod(first, "n")
    assert planner.decide(second).message.startswith("0/1 nodes are available: 1 Insufficient cpu. preemption:")
    cluster.set_pod({**first, "status": {"phase": "Succeeded"}}, "n")
    assert planner.decide(second).node == "n"


def test_a_heartbeat_changes_nothing() -> None:
    cluster = Cluster()
    assert cluster.set_node(node("n"))
    generation = cluster.generation
    beat = node("n")
    beat["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T00:00:00Z"
    assert not cluster.set_node(beat)
    assert cluster.generation == generation


def test_start_up_peaks_and_sidecars_are_counted() -> None:
    from lateen.cluster.scheduler.demand import pod_requests

    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "initContainers": [container("100m", restartPolicy="Always"), container("2"), container("50m", restartPolicy="Always")],
        "containers": [container("500m"), container("250m")],
        "overhead": {"cpu": "10m"},
    }
    assert pod_requests(spec) == {"cpu": 2110}
    spec["containers"].append(container("3"))  # type: ignore[attr-defined]
    assert pod_requests(spec) == {"cpu": 3910}
