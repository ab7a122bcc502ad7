"""Prometheus: objectives as rules, for its operator and as plain files; Alertmanager's routes; OpenSLO documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lateen.kube.meta import Object
from lateen.kube.yamltext import dump
from lateen.model import Application
from lateen.render import observation
from lateen.render.capabilities import PROMETHEUS
from lateen.render.indicators import bound, source
from lateen.render.names import obj, service_labels
from lateen.render.slo import Objective, groups, objectives, pairs, period
from lateen.render.targets.graph import Graph

_OPERATOR, _OPENSLO = "monitoring.coreos.com/v1", "openslo/v1"
_RECEIVERS = """\
# Alertmanager's routes for the alerts of {app}. Take the routes and receivers over into your configuration, and give each receiver
# a way to reach somebody: https://prometheus.io/docs/alerting/latest/configuration/#receiver-integration-settings
"""


def write(graph: Graph) -> dict[str, str]:
    """``kubernetes/`` for the operator, ``rules/`` for a Prometheus that reads files, ``alertmanager.yml``, ``openslo/``."""
    app, found = graph.base.app, source(graph.having)
    files: dict[str, str] = {}
    for name in app.services:
        goals = objectives(app, name, found)
        if own := [*_rules(app, name, goals), *observation.monitors(app, name, graph.having | {PROMETHEUS})]:
            files[f"kubernetes/{name}.yaml"] = dump(own)
        if goals:
            files[f"rules/{name}.yml"] = dump([{"groups": [g for goal in goals for g in groups(goal)]}])
            files[f"openslo/{name}.yaml"] = dump([d for goal in goals for d in openslo(goal)])
    if any(s.slos for s in app.services.values()):
        files["alertmanager.yml"] = _RECEIVERS.format(app=app.name) + dump([alertmanager(app)])
    return files


def notes(graph: Graph) -> Iterator[str]:
    """Where the counted series say less than the objective."""
    app, found = graph.base.app, source(graph.having)
    for name, service in app.services.items():
        for title, slo in service.slos.items():
            at = f"services.{name}.slos.{title}"
            if slo.latency is not None and (used := bound(found, slo.latency.threshold)) != slo.latency.threshold:
                yield f"{at}.latency.threshold: no bucket ends at {slo.latency.threshold:g} s, {used:g} s is counted"
            indicator = slo.latency or slo.availability
            if indicator is not None and indicator.port:
                yield f"{at}: the counted series do not tell ports apart, requests to all ports count"
            if indicator is not None and indicator.route and not found.route:
                yield f"{at}: the mesh's series know no routes, all requests count"


def _rules(app: Application, name: str, goals: list[Objective]) -> list[Object]:
    if not goals:
        return []
    spec = {"groups": [g for goal in goals for g in groups(goal)]}
    return [obj(_OPERATOR, "PrometheusRule", name, app=app, labels=service_labels(app, name), spec=spec)]


def alertmanager(app: Application) -> dict[str, Any]:
    """A route for pages, one for tickets; who is paged for an objective gets no ticket for it meanwhile."""
    who = app.spec.owner or app.name
    of = f'slo_app="{app.name}"'
    return {
        "route": {
            "receiver": "default",
            "routes": [
                {
                    "matchers": [of],
                    "group_by": ["slo_app", "slo_service", "severity"],
                    "group_wait": "30s",
                    "group_interval": "5m",
                    "receiver": f"{who}-ticket",
                    "repeat_interval": "24h",
                    "routes": [{"matchers": ['severity="page"'], "receiver": f"{who}-page", "repeat_interval": "4h"}],
                }
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": [of, 'severity="page"'],
                "target_matchers": [of, 'severity="ticket"'],
                "equal": ["slo_id", "alertname"],
            }
        ],
        "receivers": [{"name": "default"}, {"name": f"{who}-page"}, {"name": f"{who}-ticket"}],
    }


def openslo(goal: Objective) -> Iterator[dict[str, Any]]:
    """The objective in OpenSLO's words. Its alert conditions have one window each: the long one of each pair."""
    title = f"{goal.service}-{goal.name}"
    policies = [
        (f"{title}-{severity}-{p.long}", severity, p)
        for severity, group in pairs(goal.slo.alert, goal.slo.window).items()
        for p in group
        if not goal.slo.alert.off
    ]
    yield _document("Service", goal.service, {"description": f"{goal.service} of {goal.app.name}"})
    for name, severity, pair in policies:
        condition = {
            "kind": "burnrate",
            "op": "gte",
            "threshold": pair.factor,
            "lookbackWindow": pair.long,
            "alertAfter": pair.short,
        }
        yield _document("AlertCondition", name, {"severity": severity, "condition": condition})
        yield _document("AlertPolicy", name, {"alertWhenBreaching": True, "conditions": [{"conditionRef": name}]})
    yield _document(
        "SLO",
        title,
        {
            "service": goal.service,
            "indicator": {"metadata": {"name": title}, "spec": {"ratioMetric": _ratio(goal)}},
            "timeWindow": [{"duration": period(goal.slo), "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": goal.name, "target": round(goal.slo.objective / 100, 12)}],
            **({"alertPolicies": [{"alertPolicyRef": name} for name, _, _ in policies]} if policies else {}),
        },
    )


def _ratio(goal: Objective) -> dict[str, Any]:
    def metric(query: str) -> dict[str, Any]:
        return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}

    return {"counter": True, "bad": metric(goal.bad("5m")), "total": metric(goal.total("5m"))}


def _document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _OPENSLO, "kind": kind, "metadata": {"name": name}, "spec": spec}
