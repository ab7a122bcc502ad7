"""Stories of the DaemonSet planner: what kube-controller-manager would do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lateen.cluster.controllers import daemonset_plan as plan
from lateen.cluster.controllers.revisions import HASH, LABEL
from lateen.kube.meta import Object, meta, timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def daemon_set(rolling: dict[str, Any] | None = None, strategy: str = "RollingUpdate", **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    update = {"type": strategy, **({"rollingUpdate": rolling} if rolling is not None else {})}
    base = {"selector": {"matchLabels": {"app": "d"}}, "template": template, "updateStrategy": update}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "d", "namespace": "default", "uid": "d", "generation": 1},
        "spec": base,
    }


def node(name: str, *taints: str, **labels: str) -> Object:
    found = [dict(zip(("key", "effect"), t.split(":"), strict=True)) for t in taints]
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": found}}


def pod(text: str) -> Object:
    """``a`` is a healthy pod of the new revision on node a; ``ao`` an old one; ``!`` not ready, ``-`` terminating, ``x`` failed."""
    where, marks = text[0], text[1:]
    metadata = {"name": f"d-{text}", "uid": text, "labels": {"app": "d", LABEL: "old" if "o" in marks else "new"}}
    if "-" in marks:
        metadata["deletionTimestamp"] = timestamp(NOW)
    ready = {"type": "Ready", "status": "False" if "!" in marks else "True", "lastTransitionTime": timestamp(NOW)}
    phase = "Failed" if "x" in marks else "Running"
    return {"metadata": metadata, "spec": {"nodeName": where}, "status": {"phase": phase, "conditions": [ready]}}


def view(pods: str, nodes: list[Object], made: Object) -> plan.View:
    update = {"metadata": {"name": "d-new", "labels": {HASH: "new"}}}
    return plan.View(set=made, nodes=nodes, pods=[pod(t) for t in pods.split()], update=update, now=NOW)


def told(found: plan.View) -> str:
    steps = plan.steps(found)
    words = [f"+{n}" for n in steps.create] + [f"-{meta(p)['name'][2:]}" for p in (*steps.delete, *steps.failed)]
    return " ".join(words)


NODES = [node("a"), node("b"), node("c")]


@pytest.mark.parametrize(
    ("pods", "made", "expected"),
    [
        ("", daemon_set(), "+a +b +c"),
        ("a b c", daemon_set(), ""),
        ("a bx c", daemon_set(), "-bx"),
        ("a b- c", daemon_set(), ""),
        ("a b c z", daemon_set(), "-z"),
        ("a b c", daemon_set(nodeSelector={"disk": "ssd"}), "-a -b -c"),
        # updates
        ("ao bo co", daemon_set({"maxUnavailable": 1}), "-ao"),
        ("ao bo co", daemon_set({"maxUnavailable": "60%"}), "-ao -bo"),
        ("a! bo co", daemon_set({"maxUnavailable": 1}), ""),
        ("a bo! co", daemon_set({"maxUnavailable": 1}), "-bo!"),
        ("ao bo co", daemon_set(strategy="OnDelete"), ""),
        # surges
        ("ao bo co", daemon_set({"maxSurge": 1, "maxUnavailable": 0}), "+a"),
        ("ao a! bo co", daemon_set({"maxSurge": 1, "maxUnavailable": 0}), ""),
        ("ao a bo co", daemon_set({"maxSurge": 1, "maxUnavailable": 0}), "+b -ao"),
        ("ao! bo co", daemon_set({"maxSurge": 1, "maxUnavailable": 0}), "+a +b"),
    ],
)
def test_what_comes_next(pods: str, made: Object, expected: str) -> None:
    assert told(view(pods, NODES, made)) == expected


@pytest.mark.parametrize(
    ("taints", "verdict"),
    [
        ((), (True, True)),
        (("node.kubernetes.io/disk-pressure:NoSchedule",), (True, True)),
        (("node.kubernetes.io/unschedulable:NoSchedule",), (True, True)),
        (("node.kubernetes.io/unreachable:NoExecute",), (True, True)),
        (("node.kubernetes.io/not-ready:NoSchedule",), (False, True)),
        (("dedicated:NoSchedule",), (False, True)),
        (("dedicated:NoExecute",), (False, False)),
    ],
)
def test_where_a_daemon_pod_belongs(taints: tuple[str, ...], verdict: tuple[bool, bool]) -> None:
    found = view("", [node("a", *taints)], daemon_set()).verdicts["a"]
    assert (found.run, found.stay) == verdict


def test_a_pod_is_for_its_node_and_tolerates_its_troubles() -> None:
    made = plan.new_pod(view("", NODES, daemon_set(tolerations=[{"operator": "Exists"}])), "b")
    assert plan.target_of(made) == "b"
    assert made["metadata"]["labels"] == {"app": "d", LABEL: "new", "pod-template-generation": "1"}
    assert len(made["spec"]["tolerations"]) == 7


def test_the_status_counts_nodes() -> None:
    nodes = [node("a"), node("b"), node("c", "dedicated:NoSchedule")]
    assert plan.new_status(view("a bo! c", nodes, daemon_set())) == {
        "observedGeneration": 1,
        "desiredNumberScheduled": 2,
        "currentNumberScheduled": 2,
        "numberMisscheduled": 1,
        "numberReady": 1,
        "updatedNumberScheduled": 1,
        "numberAvailable": 1,
        "numberUnavailable": 1,
    }
