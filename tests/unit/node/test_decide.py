"""What to do for a pod: order of init containers, sidecars, restarts and back-off, phases."""

from __future__ import annotations

import pytest

from lateen.cluster.node.container import lost_attempts
from lateen.cluster.node.decide import (
    EPHEMERAL,
    INIT,
    MAIN,
    SIDECAR,
    Observed,
    Steps,
    crash_delay,
    decide,
    failures_after,
    restarts,
)


def c(name: str = "app", kind: str = MAIN, state: str = "new", **more: object) -> Observed:
    """``state``: new, running, started, or ended:<exit code>."""
    facts: dict[str, object] = {"name": name, "kind": kind, "attempted": state != "new"}
    facts["running"] = state in ("running", "started")
    facts["started"] = state == "started"
    if state.startswith("ended:"):
        facts["exit_code"] = int(state[6:])
    return Observed(**{**facts, **more})  # type: ignore[arg-type]


def test_containers_start_together() -> None:
    assert decide("Always", [c("a"), c("b")]).start == ["a", "b"]
    assert decide("Always", [c("a", state="running"), c("b")]).start == ["b"]


def test_init_containers_go_one_by_one() -> None:
    assert decide("Always", [c("i", INIT), c("j", INIT), c()]).start == ["i"]
    assert decide("Always", [c("i", INIT, "running"), c("j", INIT), c()]) == Steps(start=[])
    assert decide("Always", [c("i", INIT, "ended:0"), c("j", INIT), c()]).start == ["j"]
    assert decide("Always", [c("i", INIT, "ended:0"), c("j", INIT, "ended:0"), c()]).start == ["app"]


def test_a_failed_init_container_is_tried_again_unless_never() -> None:
    assert decide("OnFailure", [c("i", INIT, "ended:1"), c()]).start == ["i"]
    assert decide("Never", [c("i", INIT, "ended:1"), c()]).phase == "Failed"


def test_init_containers_are_not_looked_at_once_the_pod_ran() -> None:
    assert decide("Always", [c("i", INIT), c(state="running")]) == Steps(start=[])


def test_a_sidecar_holds_the_next_until_it_started() -> None:
    assert decide("Always", [c("s", SIDECAR), c()]).start == ["s"]
    assert decide("Always", [c("s", SIDECAR, "running"), c()]) == Steps(start=[])
    assert decide("Always", [c("s", SIDECAR, "started"), c()]).start == ["app"]
    assert decide("Always", [c("s", SIDECAR, "ended:1", age=1), c(state="running")]).start == ["s"]


def test_sidecars_end_after_the_last_container() -> None:
    pod = [c("s", SIDECAR, "started"), c("t", SIDECAR, "started"), c(state="ended:0")]
    assert decide("Never", pod) == Steps(stop=["t", "s"])
    assert decide("Never", [c("s", SIDECAR, "ended:143"), c(state="ended:0")]).phase == "Succeeded"


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded"), ("OnFailure", 1, ""), ("Always", 0, "")],
)
def test_restart_policies(policy: str, code: int, phase: str) -> None:
    steps = decide(policy, [c(state=f"ended:{code}")])
    assert steps.phase == phase
    assert list(steps.start) == ([] if phase else ["app"])


def test_one_failed_container_fails_the_pod_when_all_ended() -> None:
    assert decide("Never", [c("a", state="ended:0"), c("b", state="running")]) == Steps(start=[])
    assert decide("Never", [c("a", state="ended:1"), c("b", state="ended:0")]).phase == "Failed"


def test_crash_back_off_doubles_from_the_second_crash_and_is_capped() -> None:
    assert [crash_delay(n) for n in (0, 1, 2, 3, 6, 60)] == [0, 10, 20, 40, 300, 300]
    steps = decide("Always", [c(state="ended:1", failures=2, age=5)])
    assert (steps.start, steps.backing_off, steps.again) == ([], {"app": 20}, 15)
    assert decide("Always", [c(state="ended:1", failures=2, age=20)]).start == ["app"]


def test_a_long_run_is_forgiven() -> None:
    assert failures_after(5, 599) == 6
    assert failures_after(5, 600) == 0


def test_what_failed_before_it_started_waits_without_being_called_a_crash() -> None:
    assert decide("Always", [c(held=3)]) == Steps(start=[], again=3)


def test_an_ephemeral_container_starts_at_any_time_and_once() -> None:
    assert decide("Always", [c("i", INIT, "running"), c(), c("e", EPHEMERAL)]).start == ["e"]
    assert decide("Always", [c(state="running"), c("e", EPHEMERAL)]).start == ["e"]
    assert decide("Always", [c(state="running"), c("e", EPHEMERAL, "ended:1")]) == Steps(start=[])
    assert decide("Never", [c(state="ended:0"), c("e", EPHEMERAL, "running")]) == Steps(stop=["e"])


def test_an_ephemeral_container_that_the_runtime_forgot_has_run() -> None:
    running = {"containerID": "lateen://u_dbg_0", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    (lost,) = lost_attempts(running)
    assert (lost.id, lost.exit_code, lost.reason) == ("u_dbg_0", 137, "ContainerStatusUnknown")
    assert lost_attempts({"state": {"waiting": {"reason": "ErrImagePull"}}}) == []


RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
UNLESS = {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 7]}}


@pytest.mark.parametrize(
    ("pod", "own", "rules", "code", "again"),
    [
        ("Never", "", [], 1, False),
        ("Never", "Always", [], 0, True),
        ("Always", "Never", [], 1, False),
        ("Always", "OnFailure", [], 0, False),
        ("Never", "Never", [RULE], 42, True),
        ("Never", "Never", [RULE], 41, False),
        ("Never", "Never", [UNLESS], 1, True),
        ("Never", "Never", [UNLESS], 7, False),
        ("Never", "OnFailure", [RULE], 3, True),
    ],
)
def test_a_containers_own_policy_and_rules_come_first(
    pod: str, own: str, rules: list[dict[str, object]], code: int, again: bool
) -> None:
    assert restarts(pod, own, rules, code) is again
    steps = decide(pod, [c(state=f"ended:{code}", restart=own, rules=rules)])
    assert (steps.start == ["app"]) is again
    assert bool(steps.phase) is not again


def test_an_init_container_with_a_policy_of_its_own() -> None:
    assert decide("Never", [c("i", INIT, "ended:1", restart="OnFailure"), c()]).start == ["i"]
    assert decide("Always", [c("i", INIT, "ended:1", restart="Never"), c()]).phase == "Failed"


def test_init_containers_run_again_in_a_new_sandbox() -> None:
    lost = c(state="ended:137")
    first = [c("i", INIT, "ended:0", anew=True), c("j", INIT, "ended:0", anew=True), lost]
    assert decide("Always", first).start == ["i"]
    assert decide("Always", [c("i", INIT, "running"), first[1], lost]).start == []
    assert decide("Always", [c("i", INIT, "ended:0"), first[1], lost]).start == ["j"]
    assert decide("Always", [c("i", INIT, "ended:0"), c("j", INIT, "ended:0"), lost]).start == ["app"]
