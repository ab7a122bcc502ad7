"""What Prometheus' and Alertmanager's own tools say of the rules, routes and dashboards, and when alerts fire."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from oci_images import need

from lateen.model import Source, load
from lateen.render import render
from lateen.render.capabilities import named
from lateen.render.hidden import withheld
from lateen.render.targets import TARGETS, Graph, Variant

MART = Path(__file__).parents[1] / "golden" / "observability" / "mart.in.yaml"
COUNT = "http_server_request_duration_seconds_count"


@pytest.fixture(scope="module")
def promtool() -> str:
    if shutil.which("promtool") is None:
        need("prometheus")
    return shutil.which("promtool") or ""


def graph(*having: str) -> Graph:
    app = load([Source(MART.name, MART.read_text())])
    objects, _ = withheld(render(app, files={}))
    return Graph(base=Variant(app=app, objects=tuple(objects)), having=named(having))


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(folder: Path, target: str, *having: str) -> Path:
    for path, text in TARGETS[target].write(graph(*having)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.mark.parametrize("having", [(), ("istio",), ("linkerd",)], ids=lambda h: "-".join(h) or "application")
def test_promtool_takes_the_rules(tmp_path: Path, promtool: str, having: tuple[str, ...]) -> None:
    folder = written(tmp_path, "prometheus", *having)
    said = run(promtool, "check", "rules", *map(str, sorted((folder / "rules").iterdir())))
    assert said.count("SUCCESS") == 2


@pytest.mark.parametrize("having", [(), ("istio",), ("linkerd",)], ids=lambda h: "-".join(h) or "application")
def test_promtool_takes_every_query_of_the_dashboards(tmp_path: Path, promtool: str, having: tuple[str, ...]) -> None:
    folder = written(tmp_path, "grafana", *having)
    queries = []
    for board in (folder / "dashboards").iterdir():
        for panel in json.loads(board.read_text())["panels"]:
            queries += [t["expr"].replace("$__rate_interval", "5m") for t in panel.get("targets", ())]
    assert len(queries) > 10
    rules = [{"record": "query", "expr": q, "labels": {"n": str(i)}} for i, q in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    run(promtool, "check", "rules", str(tmp_path / "queries.yml"))


def series(code: str, values: str) -> dict[str, str]:
    return {"series": f'{COUNT}{{namespace="mart",service="api",http_response_status_code="{code}"}}', "values": values}


def alert_of(folder: Path, severity: str) -> dict[str, Any]:
    groups = yaml.safe_load((folder / "rules/api.yml").read_text())["groups"]
    group = next(g for g in groups if g["name"] == "slo-alerts-mart-api-availability")
    rule = next(r for r in group["rules"] if r["labels"]["severity"] == severity)
    return {"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}


def evaluate(folder: Path, promtool: str, *tests: dict[str, Any]) -> None:
    """``promtool test rules`` on the availability of ``api``: 87.5 %, so the budget is 0.125 of all requests."""
    document = {"rule_files": ["rules/api.yml"], "evaluation_interval": "1m", "tests": [{"interval": "1m", **t} for t in tests]}
    (folder / "tests.yml").write_text(yaml.safe_dump(document))
    run(promtool, "test", "rules", str(folder / "tests.yml"))


def burning(at: str, fires: list[dict[str, Any]], name: str = "SLOErrorBudgetBurn") -> dict[str, Any]:
    return {"eval_time": at, "alertname": name, "exp_alerts": fires}


def test_alerts_fire_when_the_budget_burns_and_not_before(tmp_path: Path, promtool: str) -> None:
    folder = written(tmp_path, "prometheus")
    rules = (folder / "rules/api.yml").read_text()
    (folder / "rules/api.yml").write_text(re.sub(r"14\.4 \* 0\.125", "4 * 0.125", rules).replace("6 * 0.125", "4 * 0.125"))
    page, ticket = alert_of(folder, "page"), alert_of(folder, "ticket")
    failing = [series("200", "0+25x2000"), series("500", "0+75x2000")]  # 0.75 fail: 6 times the budget's rate
    limping = [series("200", "0+70x2000"), series("500", "0+30x2000")]  # 0.3: 2.4 times
    well = [series("200", "0+95x2000"), series("500", "0+5x2000")]  # 0.05: 0.4 times
    short = [series("200", "0+100x300 30000+25x10 30250+100x300"), series("500", "0x300 0+75x10 750x300")]
    evaluate(
        folder,
        promtool,
        {"input_series": failing, "alert_rule_test": [burning("90m", [page, ticket])]},
        {"input_series": limping, "alert_rule_test": [burning("5h", [ticket])]},
        {"input_series": well, "alert_rule_test": [burning("30h", [])]},
        {"input_series": short, "alert_rule_test": [burning("312m", []), burning("8h", [])]},
    )


def test_quiet_hours_do_not_weigh_as_much_as_busy_ones(tmp_path: Path, promtool: str) -> None:
    """Half of the time nearly nobody comes and everything fails: by requests that is 1 in 101, by time it would be a half."""
    folder = written(tmp_path, "prometheus")
    uneven = [series("200", "0+100x720 72000x720"), series("500", "0x720 0+1x720")]
    wanted = "abs(slo:sli_error:ratio_rate1d{slo_id='mart-api-availability'} - 0.0099) < bool 0.0005"
    check = {"expr": f"sum({wanted})", "eval_time": "24h", "exp_samples": [{"labels": "{}", "value": 1}]}
    evaluate(folder, promtool, {"input_series": uneven, "promql_expr_test": [check]})


def test_a_service_that_nobody_measures_is_told(tmp_path: Path, promtool: str) -> None:
    folder = written(tmp_path, "prometheus")
    groups = yaml.safe_load((folder / "rules/api.yml").read_text())["groups"]
    rules = [r for g in groups for r in g["rules"] if r.get("alert") == "SLOMetricsAbsent"]
    missing = [{"exp_labels": r["labels"], "exp_annotations": r["annotations"]} for r in rules]
    evaluate(folder, promtool, {"input_series": [], "alert_rule_test": [burning("20m", missing, "SLOMetricsAbsent")]})


def test_amtool_takes_the_routes_and_pages_go_where_they_should(tmp_path: Path) -> None:
    if shutil.which("amtool") is None:
        need("prometheus-alertmanager")
    amtool, config = shutil.which("amtool") or "", written(tmp_path, "prometheus") / "alertmanager.yml"
    run(amtool, "check-config", str(config))
    for severity in ("page", "ticket"):
        said = run(amtool, "config", "routes", "test", f"--config.file={config}", "slo_app=mart", f"severity={severity}")
        assert said.strip() == f"checkout-{severity}"
    assert run(amtool, "config", "routes", "test", f"--config.file={config}", "slo_app=other").strip() == "default"
