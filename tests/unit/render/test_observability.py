"""Objectives as rules, dashboards, Alertmanager's routes: stories, and the arithmetic behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lateen.model import Source, load
from lateen.model.operation import Alert
from lateen.render import render
from lateen.render.capabilities import DEFAULT, named
from lateen.render.hidden import withheld
from lateen.render.indicators import bound, le, source
from lateen.render.slo import objectives, pairs, recordings
from lateen.render.targets import TARGETS, Graph, Variant

STORY = Path(__file__).parents[2] / "golden" / "observability"


def graph(*having: str) -> Graph:
    app = load([Source("mart.in.yaml", (STORY / "mart.in.yaml").read_text())])
    objects, _ = withheld(render(app, files={}))
    return Graph(base=Variant(app=app, objects=tuple(objects)), having=named(having) if having else DEFAULT)


@pytest.mark.parametrize("having", [(), ("istio",), ("linkerd",)], ids=lambda h: "-".join(h) or "application")
def test_the_rules_of_a_small_application(having: tuple[str, ...], golden: Callable[[Path, str], None]) -> None:
    files = TARGETS["prometheus"].write(graph(*having))
    notes = "".join(f"# {note}\n" for note in TARGETS["prometheus"].notes(graph(*having)))
    name = "-".join(having) or "application"
    text = "".join(f"# {path}\n{text}" for path, text in files.items() if not having or path.startswith("rules/"))
    golden(STORY / f"mart.{name}.yaml", notes + text)


def test_the_dashboards_of_a_small_application(golden: Callable[[Path, str], None]) -> None:
    files = TARGETS["grafana"].write(graph("istio"))
    golden(STORY / "mart.dashboards.json", "".join(text for path, text in files.items() if path.endswith(".json")))
    maps = list(yaml.safe_load_all(files["kubernetes/dashboards.yaml"]))
    assert {json.loads(text)["title"] for m in maps for text in m["data"].values()} == {
        "mart: services",
        "mart: objectives",
        "mart: rollout",
    }
    assert all(m["metadata"]["labels"]["grafana_dashboard"] == "1" for m in maps)


def test_panels_have_numbers_of_their_own_and_do_not_cover_each_other() -> None:
    for text in (t for p, t in TARGETS["grafana"].write(graph("istio")).items() if p.endswith(".json")):
        panels = json.loads(text)["panels"]
        assert len({p["id"] for p in panels}) == len(panels)
        cells = [(x, y) for p in panels for x, y in _cells(p["gridPos"])]
        assert len(set(cells)) == len(cells)


def _cells(place: dict[str, Any]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_windows_no_shorter_than_the_objectives_own_say_nothing() -> None:
    alert, day = Alert(), 86400
    assert {k: [(p.short, p.long) for p in v] for k, v in pairs(alert, 30 * day).items()} == {
        "page": [("5m", "1h"), ("30m", "6h")],
        "ticket": [("2h", "1d"), ("6h", "3d")],
    }
    assert [p.long for v in pairs(alert, 1 * day).values() for p in v] == ["1h", "6h"]


def test_a_threshold_between_two_bounds_counts_the_stricter_one() -> None:
    found = source(DEFAULT)
    assert (bound(found, 0.3), bound(found, 0.25), bound(found, 0.001)) == (0.25, 0.25, 0.005)
    assert (le(found, 0.25), le(found, 1)) == ('le="0.25"', 'le=~"1|1.0"')
    assert le(source(named(["istio"])), 0.25) == 'le=~"250|250.0"'


def test_the_objective_s_own_window_is_recorded() -> None:
    (_, checkout, orders) = objectives(graph().base.app, "api", source(DEFAULT))
    assert "slo:sli_error:ratio_rate7d" in {r["record"] for r in recordings(checkout)["rules"]}
    assert {"slo:sli_error:ratio_rate2d", "slo:sli_error:ratio_rate1d"} <= {r["record"] for r in recordings(orders)["rules"]}
    assert "slo:sli_error:ratio_rate3d" not in {r["record"] for r in recordings(orders)["rules"]}
