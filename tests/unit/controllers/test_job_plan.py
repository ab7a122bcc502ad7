"""Stories of the Job planner: what kube-controller-manager would do next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lateen.cluster.controllers import job_plan as plan
from lateen.kube.meta import Object, timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job(status: dict[str, Any] | None = None, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"job-name": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    base = {"parallelism": 1, "backoffLimit": 6, "podReplacementPolicy": "TerminatingOrFailed", "template": template}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "default", "uid": "j"},
        "spec": base | spec,
        "status": status or {},
    }


def pod(text: str) -> Object:
    """``r`` runs, ``s`` succeeded, ``f`` failed, ``t`` terminates; then an index; ``=N`` the exit code, ``^N`` failures before,
    ``@N`` seconds since it ended."""
    kind, rest = text[0], text[1:]
    numbers = {"index": "", "=": "1", "^": "0", "@": "0"}
    key = "index"
    for letter in rest:
        if letter in numbers:
            key, numbers[letter] = letter, ""
        else:
            numbers[key] += letter
    notes = {plan.INDEX: numbers["index"], plan.FAILURES: numbers["^"]} if numbers["index"] else {}
    metadata = {"name": f"j-{text}", "namespace": "default", "uid": text, "annotations": notes, "finalizers": [plan.FINALIZER]}
    if kind == "t":
        metadata["deletionTimestamp"] = timestamp(NOW)
    phase = {"r": "Running", "s": "Succeeded", "f": "Failed", "t": "Running"}[kind]
    ended = {"exitCode": int(numbers["="]), "finishedAt": timestamp(NOW - timedelta(seconds=int(numbers["@"])))}
    statuses = [{"name": "c", "state": {"terminated": ended}}] if kind in "sf" else []
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "containerStatuses": statuses}}


def view(pods: str, made: Object) -> plan.View:
    return plan.View(job=made, pods=[pod(t) for t in pods.split()], now=NOW)


INDEXED: dict[str, Any] = {"completionMode": "Indexed", "completions": 4, "parallelism": 4}


@pytest.mark.parametrize(
    ("pods", "spec", "expected"),
    [
        ("", {"completions": 3, "parallelism": 2}, 2),
        ("r r", {"completions": 3, "parallelism": 2}, 0),
        ("r s", {"completions": 3, "parallelism": 2}, 1),
        ("r s s", {"completions": 3, "parallelism": 2}, 0),
        ("", {"parallelism": 3}, 3),
        ("r s", {"parallelism": 3}, 0),  # a work queue: once one is through, no more are begun
        ("", {"completions": 3, "suspend": True}, 0),
        ("t", {"completions": 1}, 1),
        ("t", {"completions": 1, "podReplacementPolicy": "Failed"}, 0),
    ],
)
def test_how_many_pods_are_missing(pods: str, spec: dict[str, Any], expected: int) -> None:
    assert plan.missing(view(pods, job(**spec))) == expected


@pytest.mark.parametrize(
    ("pods", "spec", "expected"),
    [
        ("s", {"completions": 1}, "SuccessCriteriaMet CompletionsReached"),
        ("s r", {"completions": 2}, None),
        ("s", {}, "SuccessCriteriaMet CompletionsReached"),
        ("s r", {}, None),
        ("f f", {"completions": 1, "backoffLimit": 1}, "FailureTarget BackoffLimitExceeded"),
        ("f", {"completions": 1, "backoffLimit": 1}, None),
        ("s0 s1 s2 s3", INDEXED, "SuccessCriteriaMet CompletionsReached"),
        ("s0 s1 s1 s3", INDEXED, None),
        ("s0 s2", INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "0,2"}]}}, "SuccessCriteriaMet SuccessPolicy"),
        ("s0 s3", INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "0-2", "succeededCount": 2}]}}, None),
        ("s1 s3", INDEXED | {"successPolicy": {"rules": [{"succeededCount": 2}]}}, "SuccessCriteriaMet SuccessPolicy"),
        ("s0 s1 s2 f3^1", INDEXED | {"backoffLimitPerIndex": 1, "backoffLimit": 99}, "FailureTarget FailedIndexes"),
        ("s0 s1 s2 f3", INDEXED | {"backoffLimitPerIndex": 1, "backoffLimit": 99}, None),
        (
            "f0 f1 r2 r3",
            INDEXED | {"backoffLimitPerIndex": 0, "backoffLimit": 99, "maxFailedIndexes": 1},
            "FailureTarget MaxFailedIndexesExceeded",
        ),
    ],
)
def test_how_it_ends(pods: str, spec: dict[str, Any], expected: str | None) -> None:
    found = plan.verdict(view(pods, job(**spec)))
    assert (f"{found.target} {found.reason}" if found else None) == expected


def policy(action: str, **rule: Any) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": [{"action": action, **rule}]}}


def test_a_failure_policy_fails_the_job_or_forgets_the_failure() -> None:
    codes = {"onExitCodes": {"operator": "In", "values": [42]}}
    found = plan.verdict(view("f=42", job(completions=1, **policy("FailJob", **codes))))
    assert found is not None
    assert found.message == "Container c for pod default/j-f=42 failed with exit code 42 matching FailJob rule at index 0"
    ignoring = view("f=42 f=1", job(completions=1, **policy("Ignore", **codes)))
    assert (len(ignoring.ignored), ignoring.total_failed()) == (1, 1)
    disrupted = pod("f")
    disrupted["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    rule = plan.failure_rule(job(**policy("Ignore", onPodConditions=[{"type": "DisruptionTarget"}])), disrupted)
    assert rule is not None
    assert rule.action == "Ignore"


@pytest.mark.parametrize(
    ("pods", "seconds"), [("", 0), ("f", 10), ("f@4", 6), ("f@30 f@5", 15), ("f@1 f@1 f@1 s@0", 0), (" ".join(["f"] * 9), 600)]
)
def test_the_pause_grows_with_failures_in_a_row(pods: str, seconds: float) -> None:
    assert plan.backoff_in(view(pods, job())) == seconds


def test_indexes_that_are_free_get_pods_each_with_its_history() -> None:
    found = view("s0 r1 f2^1@100", job(**INDEXED, backoffLimitPerIndex=3))
    assert plan.next_slots(found, 4) == ([plan.Slot(2, 2), plan.Slot(3)], 0.0)
    waiting = view("s0 r1 f2^1@5 r3", job(**INDEXED, backoffLimitPerIndex=3))
    assert plan.next_slots(waiting, 4) == ([], 15.0)
    assert plan.countable(waiting) == ([], []), "its successor learns from it"
    replaced = view("s0 r1 f2^1@5 r2^2 r3", job(**INDEXED, backoffLimitPerIndex=3))
    assert [p["metadata"]["uid"] for p in plan.countable(replaced)[0]] == ["f2^1@5"]


def test_surplus_pods_are_doubles_and_those_that_came_last() -> None:
    found = view("r0 r1 r1@1 r2", job(**(INDEXED | {"parallelism": 2})))
    assert [p["metadata"]["uid"] for p in plan.surplus(found)] == ["r1@1", "r2"]


def test_a_pod_knows_its_index() -> None:
    made = plan.new_pod(job(**INDEXED), plan.Slot(3))
    assert made["metadata"]["annotations"][plan.INDEX] == made["metadata"]["labels"][plan.INDEX] == "3"
    assert made["spec"]["hostname"] == "j-3"
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    assert made["metadata"]["finalizers"] == [plan.FINALIZER]


@pytest.mark.parametrize(("indexes", "text"), [(set(), ""), ({1}, "1"), ({0, 1}, "0,1"), ({0, 1, 2, 5, 7, 8, 9}, "0-2,5,7-9")])
def test_indexes_as_text(indexes: set[int], text: str) -> None:
    assert plan.format_indexes(indexes) == text
    assert plan.parse_indexes(text) == indexes
