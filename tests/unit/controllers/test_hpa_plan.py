"""The arithmetic of autoscaling, case by case as kube-controller-manager does it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lateen.cluster.controllers import hpa_plan as plan
from lateen.kube.meta import Object, timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD = timestamp(NOW - timedelta(hours=1))


def pod(name: str, *, ready: bool = True, phase: str = "Running", age: float = 3600, since: float = 3500, **m: Any) -> Object:
    changed = timestamp(NOW - timedelta(seconds=since))
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": changed}
    status = {"phase": phase, "startTime": timestamp(NOW - timedelta(seconds=age)), "conditions": [condition]}
    return {"metadata": {"name": name, **m}, "status": status}


def samples(**values: int) -> dict[str, plan.Sample]:
    return {name: plan.Sample(value, NOW, 30.0) for name, value in values.items()}


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (pod("a"), "ready"),
        (pod("a", phase="Pending"), "ignored"),
        (pod("b"), "missing"),
        (pod("a", deletionTimestamp=OLD), ""),
        (pod("a", phase="Failed"), ""),
        (pod("a", age=60, since=50, ready=False), "ignored"),
        (pod("a", age=60, since=50), "ready"),
        (pod("a", age=60, since=10), "ignored"),  # measured from before it was ready
        (pod("a", age=3600, since=3590, ready=False), "ignored"),  # it never was ready
        (pod("a", age=3600, since=100, ready=False), "ready"),  # it was, once
    ],
)
def test_what_a_pods_number_is_worth(made: Object, kind: str) -> None:
    found = plan.grouped([made], samples(a=1), cpu=True, now=NOW)
    kinds = {"ready": found.ready, "ignored": found.ignored, "missing": found.missing}
    assert [k for k, v in kinds.items() if v] == ([kind] if kind else [])


def utilization(values: dict[str, int], target: int, *, missing: int = 0, ignored: int = 0) -> plan.Proposal:
    lost, young = [f"m{i}" for i in range(missing)], [f"i{i}" for i in range(ignored)]
    groups = plan.Groups(ready=tuple(values), ignored=frozenset(young), missing=frozenset(lost))
    requests = dict.fromkeys([*values, *lost, *young], 1000)
    current = len(requests)
    return plan.by_utilization(groups, samples(**values), requests, target=target, current=current, tolerance=plan.Tolerance())


@pytest.mark.parametrize(
    ("values", "target", "more", "replicas", "used"),
    [
        ({"a": 300, "b": 500, "c": 700}, 30, {}, 5, 50),
        ({"a": 1000, "b": 1000}, 100, {}, 2, 100),
        ({"a": 1090, "b": 1090}, 100, {}, 2, 109),  # within the tolerance
        ({"a": 100, "b": 100, "c": 100}, 50, {}, 1, 10),
        ({"a": 999}, 100, {}, 1, 99),  # the percentage is cut off, not rounded
        ({"a": 1000, "b": 1000}, 50, {"missing": 2}, 4, 100),  # those that are missing may do nothing at all
        ({"a": 1000, "b": 1000, "c": 1000}, 50, {"missing": 1}, 6, 100),
        ({"a": 100, "b": 100}, 50, {"missing": 2}, 4, 10),  # ... or all that they may
        ({"a": 1000, "b": 1000}, 50, {"ignored": 2}, 4, 100),
    ],
)
def test_by_utilization(values: dict[str, int], target: int, more: dict[str, int], replicas: int, used: int) -> None:
    found = utilization(values, target, **more)
    assert (found.replicas, found.utilization) == (replicas, used)


def test_by_average_value_and_total() -> None:
    groups = plan.Groups(ready=("a", "b"), ignored=frozenset(), missing=frozenset())
    found = plan.by_average(groups, samples(a=20_000, b=40_000), target=10_000, current=2, tolerance=plan.Tolerance())
    assert (found.replicas, found.value) == (6, 30_000)
    assert plan.by_value(20_000, 10_000, ready=3, current=3, tolerance=plan.Tolerance()) == 6
    assert plan.by_value(5_000, 10_000, ready=0, current=0, tolerance=plan.Tolerance()) == 1
    assert plan.by_total(95_000, 10_000, current=9, tolerance=plan.Tolerance()) == 9
    assert plan.by_total(120_000, 10_000, current=9, tolerance=plan.Tolerance()) == 12


def hpa(least: int = 1, most: int = 100, **behavior: Any) -> Object:
    return {"spec": {"minReplicas": least, "maxReplicas": most, **({"behavior": behavior} if behavior else {})}}


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("made", "past", "current", "desired", "replicas", "reasons"),
    [
        (hpa(), plan.Past(), 2, 5, 5, "ReadyForNewScale DesiredWithinRange"),
        (hpa(), plan.Past(), 10, 50, 20, "ReadyForNewScale ScaleUpLimit"),
        (hpa(), plan.Past(), 1, 9, 5, "ReadyForNewScale ScaleUpLimit"),
        (hpa(most=12), plan.Past(), 10, 50, 12, "ReadyForNewScale TooManyReplicas"),
        (hpa(), plan.Past(changes=[(ago(5), 10)]), 20, 50, 20, "ReadyForNewScale ScaleUpLimit"),
        (hpa(), plan.Past(changes=[(ago(20), 10)]), 20, 50, 40, "ReadyForNewScale ScaleUpLimit"),
        (hpa(), plan.Past(recommended=[(ago(200), 8)]), 10, 2, 8, "ScaleDownStabilized DesiredWithinRange"),
        (hpa(), plan.Past(recommended=[(ago(301), 8)]), 10, 2, 2, "ReadyForNewScale DesiredWithinRange"),
        (hpa(3), plan.Past(), 10, 1, 3, "ReadyForNewScale TooFewReplicas"),
        (
            hpa(scaleDown={"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}),
            plan.Past(),
            10,
            2,
            8,
            "ReadyForNewScale ScaleDownLimit",
        ),
        (
            hpa(scaleDown={"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}),
            plan.Past(),
            10,
            2,
            10,
            "ReadyForNewScale ScaleDownLimit",
        ),
        (
            hpa(scaleUp={"stabilizationWindowSeconds": 60}),
            plan.Past(recommended=[(ago(30), 3)]),
            2,
            9,
            3,
            "ScaleUpStabilized DesiredWithinRange",
        ),
    ],
)
def test_what_is_given(made: Object, past: plan.Past, current: int, desired: int, replicas: int, reasons: str) -> None:
    found = plan.given(made, past, desired, current, NOW)
    assert found.replicas == replicas
    assert f"{found.able[0]} {found.limited[1]}" == reasons


def test_the_tolerance_may_be_the_users() -> None:
    made = hpa(scaleUp={"tolerance": "0"}, scaleDown={"tolerance": "200m"})
    assert plan.tolerance_of(made) == plan.Tolerance(up=0.0, down=0.2)
