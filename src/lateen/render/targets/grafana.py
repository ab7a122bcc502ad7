"""Grafana: a dashboard of the application (rate, errors, duration of every service and call), of its objectives, and of a rollout.

As JSON files for provisioning, and as ConfigMaps that Grafana's sidecar finds by their label.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from lateen.kube.meta import Object
from lateen.kube.yamltext import dump
from lateen.model import Application
from lateen.render.indicators import Source, source, where
from lateen.render.names import content_hash, labels, obj
from lateen.render.slo import Objective, objectives, period
from lateen.render.targets.graph import Graph

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 8, 7
_QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
_LEFT: list[dict[str, Any]] = [{"color": "red", "value": None}, {"color": "orange", "value": 0.1}, {"color": "green", "value": 0.5}]
Panel = dict[str, Any]


def write(graph: Graph) -> dict[str, str]:
    """``dashboards/NAME.json`` and ``kubernetes/dashboards.yaml``."""
    app, found = graph.base.app, source(graph.having)
    boards = {f"{app.name}-services": services(app, found), f"{app.name}-rollout": rollout(app, found)}
    if goals := [g for name in app.services for g in objectives(app, name, found)]:
        boards[f"{app.name}-objectives"] = budgets(app, goals)
    files = {f"dashboards/{name}.json": _text(board) for name, board in boards.items()}
    files["kubernetes/dashboards.yaml"] = dump([_config_map(app, name, board) for name, board in boards.items()])
    return files


def _text(board: dict[str, Any]) -> str:
    return json.dumps(board, indent=2) + "\n"


def _config_map(app: Application, name: str, board: dict[str, Any]) -> Object:
    own = {**labels(app, name, "dashboard"), "grafana_dashboard": "1"}
    return obj("v1", "ConfigMap", f"dashboard-{name}", app=app, labels=own, data={f"{name}.json": _text(board)})


def services(app: Application, found: Source) -> dict[str, Any]:
    """Rate, errors, duration: a row per service that answers requests, a row per call where somebody knows the caller."""
    rows: list[tuple[str, list[Panel]]] = []
    for name, service in app.services.items():
        if service.ports:
            rows.append((name, list(_red(found, where(found, app, name)))))
    if found.caller:
        for name, service in app.services.items():
            called = [needed for needed in service.needs if needed in app.services]
            rows += [(f"{name} → {needed}", list(_red(found, _edge(found, app, name, needed)))) for needed in called]
    return _board(app, "services", f"{app.name}: services", rows)


def _edge(found: Source, app: Application, caller: str, callee: str) -> str:
    return f'{where(found, app, callee)},{found.caller}=~"{caller}([.].*)?"'


def _red(found: Source, of: str) -> Iterator[Panel]:
    by_code = f"sum by ({found.code}) (rate({found.count}{{{of}}}[$__rate_interval]))"
    yield _graph("Requests per second", "reqps", [(by_code, f"{{{{{found.code}}}}}")])
    share = (
        f"(sum(rate({found.count}{{{of},{found.failed}}}[$__rate_interval])) or vector(0)) / "
        f"sum(rate({found.count}{{{of}}}[$__rate_interval]))"
    )
    yield _graph("Errors", "percentunit", [(share, "failed")])
    yield _graph("Duration", "s" if found.unit == 1 else "ms", [(_quantile(found, of, q), name) for q, name in _QUANTILES])


def _quantile(found: Source, of: str, quantile: float) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate({found.bucket}{{{of}}}[$__rate_interval])))"


def budgets(app: Application, goals: Sequence[Objective]) -> dict[str, Any]:
    """What is left of each error budget, and how fast it goes."""
    rows = []
    for goal in goals:
        chosen = f'{{slo_id="{goal.labels["slo_id"]}"}}'
        left = f"slo:period_error_budget_remaining:ratio{chosen}"
        burn = [(f"slo:{kind}_burn_rate:ratio{chosen}", kind) for kind in ("current", "period")]
        panels = [
            _stat(f"Budget left of {period(goal.slo)}", "percentunit", left, _LEFT),
            _graph("Budget left", "percentunit", [(left, "left")]),
            _graph("Burn rate", "none", burn),
        ]
        rows.append((f"{goal.service}: {goal.name}, {goal.slo.objective:g} %", panels))
    return _board(app, "objectives", f"{app.name}: objectives", rows)


def rollout(app: Application, found: Source) -> dict[str, Any]:
    """Old pods and new ones side by side while a version spreads."""
    pods = f'namespace="{app.namespace}",deployment=~"$service"'
    of = where(found, app, "$service")
    replicas = [
        (f"kube_deployment_spec_replicas{{{pods}}}", "wanted"),
        (f"kube_deployment_status_replicas_updated{{{pods}}}", "updated"),
        (f"kube_deployment_status_replicas_available{{{pods}}}", "available"),
    ]
    each = f'namespace="{app.namespace}",pod=~"$service-.*"'
    restarts = f"sum by (pod) (increase(kube_pod_container_status_restarts_total{{{each}}}[10m]))"
    images = f"count by (image_spec) (kube_pod_container_info{{{each}}})"
    failed, every = (f"sum by (pod) (rate({found.count}{{{m}}}[$__rate_interval]))" for m in (f"{of},{found.failed}", of))
    panels = [
        _graph("Pods", "none", replicas),
        _graph("Versions", "none", [(images, "{{image_spec}}")]),
        _graph("Restarts in 10 minutes", "none", [(restarts, "{{pod}}")]),
        _graph("Errors by pod", "percentunit", [(f"{failed} / {every}", "{{pod}}")]),
        _graph("Duration p95", "s" if found.unit == 1 else "ms", [(_quantile(found, of, 0.95), "p95")]),
    ]
    board = _board(app, "rollout", f"{app.name}: rollout", [("$service", panels)])
    names = [n for n, s in app.services.items() if s.role in ("web", "worker")]
    board["templating"]["list"].append(_choice("service", names))
    return board


def _choice(name: str, values: Sequence[str]) -> dict[str, Any]:
    options = [{"text": v, "value": v, "selected": i == 0} for i, v in enumerate(values)]
    current = {"text": values[0], "value": values[0]} if values else {}
    return {"name": name, "type": "custom", "query": ",".join(values), "options": options, "current": current, "label": "Service"}


def _board(app: Application, name: str, title: str, rows: Sequence[tuple[str, Sequence[Panel]]]) -> dict[str, Any]:
    return {
        "uid": _uid(app, name),
        "title": title,
        "tags": ["lateen", app.name],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source", "current": {}}]
        },
        "panels": list(_placed(rows)),
    }


def _uid(app: Application, name: str) -> str:
    """At most 40 characters, as Grafana has it."""
    full = f"lateen-{app.name}-{name}"
    return full if len(full) <= 40 else f"{full[:29]}-{content_hash(full)}"


def _placed(rows: Sequence[tuple[str, Sequence[Panel]]]) -> Iterator[Panel]:
    """Rows of panels, numbered, three beside each other."""
    number, y = 0, 0
    for title, panels in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
            "panels": [],
        }
        for i, panel in enumerate(panels):
            number += 1
            place = {"h": _HEIGHT, "w": _WIDTH, "x": i % 3 * _WIDTH, "y": y + 1 + i // 3 * _HEIGHT}
            yield {"id": number, "gridPos": place, **panel}
        y += 1 + -(-len(panels) // 3) * _HEIGHT


def _graph(title: str, unit: str, queries: Sequence[tuple[str, str]]) -> Panel:
    return {
        "type": "timeseries",
        **_panel(title, unit, queries),
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
    }


def _stat(title: str, unit: str, query: str, thresholds: list[dict[str, Any]]) -> Panel:
    panel = _panel(title, unit, [(query, "")])
    panel["fieldConfig"]["defaults"]["thresholds"] = {"mode": "absolute", "steps": thresholds}
    return {"type": "stat", **panel, "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}}


def _panel(title: str, unit: str, queries: Sequence[tuple[str, str]]) -> dict[str, Any]:
    targets = [
        {"refId": chr(65 + i), "datasource": _DATASOURCE, "expr": expr, "legendFormat": legend}
        for i, (expr, legend) in enumerate(queries)
    ]
    return {
        "title": title,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": targets,
    }
