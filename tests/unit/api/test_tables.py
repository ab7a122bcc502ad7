"""Tables: ages, pod rows, JSON paths."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lateen.cluster.api.conversions import event_from_core
from lateen.cluster.api.negotiation import Form, form_of
from lateen.cluster.api.server import ApiServer
from lateen.cluster.api.tables import pods
from lateen.cluster.api.tables.base import human_duration, selector_text
from lateen.cluster.api.tables.build import table
from lateen.cluster.api.tables.custom import custom_columns, json_path
from lateen.errors import NotAcceptableError

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (601, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (13000, "3h36m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (180000, "2d2h"),
        (691200, "8d"),
        (63072000, "2y"),
        (65000000, "2y22d"),
    ],
)
def test_ages_read_as_kubernetes_writes_them(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def pod(
    *containers: dict[str, Any], phase: str = "Running", init: list[dict[str, Any]] | None = None, **meta: Any
) -> dict[str, Any]:
    spec = {"containers": [{"name": c["name"]} for c in containers], "initContainers": [{"name": c["name"]} for c in init or ()]}
    status = {"phase": phase, "containerStatuses": list(containers), "initContainerStatuses": init or []}
    return {"metadata": meta, "spec": spec, "status": status}


def container(name: str = "c", *, ready: bool = False, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (pod(container(ready=True, running={})), ("1/1", "Running")),
        (pod(container(waiting={"reason": "CrashLoopBackOff"})), ("0/1", "CrashLoopBackOff")),
        (pod(container(terminated={"reason": "Completed", "exitCode": 0}), phase="Succeeded"), ("0/1", "Completed")),
        (pod(container(terminated={"exitCode": 3}), phase="Failed"), ("0/1", "ExitCode:3")),
        (pod(container(ready=True, running={}), deletionTimestamp="2026-01-01T00:00:00Z"), ("1/1", "Terminating")),
        (
            pod(container(waiting={"reason": "PodInitializing"}), phase="Pending", init=[container("i", running={})]),
            ("0/1", "Init:0/1"),
        ),
        (
            pod(container(), phase="Pending", init=[container("i", waiting={"reason": "CrashLoopBackOff"})]),
            ("0/1", "Init:CrashLoopBackOff"),
        ),
    ],
)
def test_a_pod_says_what_a_person_looks_for(given: dict[str, Any], shown: tuple[str, str]) -> None:
    assert (pods.ready(given, NOW), pods.status(given, NOW)) == shown


def test_restarts_say_when() -> None:
    last = container(ready=True, restarts=3, running={}) | {"lastState": {"terminated": {"finishedAt": "2026-01-01T23:55:00Z"}}}
    assert pods.restarts(pod(last), NOW) == "3 (5m ago)"


def test_json_paths_of_printer_columns() -> None:
    obj = {"spec": {"a": [{"n": 1}, {"n": 2}], "x.y": "z"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert json_path('.status.conditions[?(@.type=="Ready")].status')(obj) == ["True"]
    assert json_path(".spec.a[*].n")(obj) == [1, 2]
    assert json_path(".spec.a[1].n")(obj) == [2]
    assert json_path(r".spec.x\.y")(obj) == ["z"] == json_path(".spec['x.y']")(obj)
    assert json_path(".spec.none.at.all")(obj) == []
    columns = custom_columns([{"name": "Born", "type": "date", "jsonPath": ".metadata.creationTimestamp"}])
    assert [c.cell({"metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}}, NOW) for c in columns] == ["n", "24h"]


def test_selectors_as_text() -> None:
    rule = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["e", "d"]}]}
    assert selector_text(rule) == "a=b,c notin (d,e)" and selector_text({"a": "b"}) == "a=b" and selector_text(None) == "<none>"


def test_negotiation_takes_the_first_form_it_can_make() -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    assert form_of(table) is Form.TABLE
    assert form_of("application/vnd.kubernetes.protobuf,application/json") is Form.PLAIN
    assert form_of("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json") is Form.DISCOVERY
    with pytest.raises(NotAcceptableError):
        form_of("application/vnd.kubernetes.protobuf")


def test_events_of_both_versions_have_the_same_row(api: ApiServer) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p"},
        "type": "Normal",
        "reason": "Started",
        "message": "Started container c",
        "lastTimestamp": "2026-01-01T23:59:50Z",
    }
    rows = []
    for group, obj in (("", event), ("events.k8s.io", event_from_core(event))):
        served = api.backend.registry.builtin(group, "v1", "events")
        cells = table(served, [obj], meta={}, now=NOW)["rows"][0]["cells"]
        rows.append([cells[n] for n in (0, 1, 2, 3, 6)])
    assert rows[0] == rows[1] == ["10s", "Normal", "Started", "pod/p", "Started container c"]
