"""The configurations of the OpenTelemetry Collector and Fluent Bit: stories, and what must hold of every one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lateen.model import Source, load
from lateen.render.targets import TARGETS, Graph, Variant
from lateen.render.targets.collectors import collector, fluent_bit

STORY = Path(__file__).parents[2] / "golden" / "observability"


@pytest.fixture
def graph() -> Graph:
    return Graph(base=Variant(app=load([Source("mart.in.yaml", (STORY / "mart.in.yaml").read_text())]), objects=()))


@pytest.mark.parametrize("target", ["otel", "fluentbit"])
def test_a_story(target: str, graph: Graph, golden: Callable[[Path, str], None]) -> None:
    files = TARGETS[target].write(graph)
    golden(STORY / f"mart.{target}.yaml", "".join(f"# {path}\n{text}" for path, text in files.items()))
    (running,) = (text for path, text in files.items() if path.startswith("kubernetes/"))
    for obj in yaml.safe_load_all(running):
        kubernetes_validate.validate(obj, "1.37", strict=True)


def test_pipelines_name_what_there_is_and_nothing_is_left_over(graph: Graph) -> None:
    config: dict[str, Any] = collector(graph.base.app)
    pipelines = config["service"]["pipelines"].values()
    between = config["connectors"].keys()
    for part in ("receivers", "processors", "exporters"):
        used = {name for p in pipelines for name in p[part]}
        known = config[part].keys() | (between if part != "processors" else set())
        assert used <= known and config[part].keys() <= used, part
    assert between <= {n for p in pipelines for n in p["receivers"]} & {n for p in pipelines for n in p["exporters"]}


def test_pods_are_known_before_traces_are_sampled_and_batches_come_last(graph: Graph) -> None:
    order = collector(graph.base.app)["service"]["pipelines"]["traces"]["processors"]
    assert order.index("memory_limiter") == 0
    assert order.index("k8sattributes") < order.index("tail_sampling") < order.index("batch") == len(order) - 1


def test_slow_is_what_the_objective_says(graph: Graph) -> None:
    policies = collector(graph.base.app)["processors"]["tail_sampling"]["policies"]
    (slow,) = (p for p in policies if p["name"] == "slow-api")
    assert slow["and"]["and_sub_policy"][1]["latency"]["threshold_ms"] == 300
    assert "300ms" in collector(graph.base.app)["connectors"]["spanmetrics"]["histogram"]["explicit"]["buckets"]


def test_only_the_application_s_logs_are_read(graph: Graph) -> None:
    (tail,) = fluent_bit(graph.base.app)["pipeline"]["inputs"]
    assert tail["path"] == "/var/log/containers/*_mart_*.log"
