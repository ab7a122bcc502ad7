"""Objectives as recording rules and alerts: multi-window, multi-burn-rate (Google's SRE Workbook, chapter 5), on exact ratios.

A ratio over a window is bad events over all events in that window: both are summed apart, so that quiet hours do not weigh as much
as busy ones. Short windows are read from the series, long ones from sums that are recorded every minute. Names of the recorded
series are those that dashboards for SLOs know (``slo:sli_error:ratio_rate5m``, ``slo:current_burn_rate:ratio``, ...).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.model import Application
from lateen.model.operation import Alert, Slo
from lateen.render.indicators import Source, bound, labels_of, le, where

_DIRECT = ("5m", "30m", "1h", "2h", "6h")
_LONG = ("1d", "3d")
_SECONDS = {"5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21600, "1d": 86400, "3d": 259200}
_BASE = "5m"
Rule = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """An alert's windows: the long one says that it matters, the short one that it still happens."""

    factor: float
    short: str
    long: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One objective of a service, and who counts for it."""

    app: Application
    service: str
    name: str
    slo: Slo
    source: Source

    @property
    def labels(self) -> dict[str, str]:
        """Of every series and alert of this objective."""
        return {
            "slo_id": f"{self.app.namespace}-{self.service}-{self.name}",
            "slo_app": self.app.name,
            "slo_namespace": self.app.namespace,
            "slo_service": self.service,
            "slo_name": self.name,
        }

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.slo.objective / 100, 12)

    def bad(self, window: str) -> str:
        """Bad events per second over a window, as PromQL."""
        if (query := self.slo.query) is not None:
            return f"({self.total(window)}) - ({_windowed(query.good, window)})"
        found, of = self.source, self._where()
        if (latency := self.slo.latency) is not None:
            fast = f"{found.bucket}{{{of},{le(found, bound(found, latency.threshold))}}}"
            return f"({self.total(window)}) - (sum(rate({fast}[{window}])) or {self.total(window)} * 0)"
        return f"sum(rate({found.count}{{{of},{found.failed}}}[{window}])) or ({self.total(window)}) * 0"

    def total(self, window: str) -> str:
        """All events per second over a window, as PromQL."""
        if (query := self.slo.query) is not None:
            return _windowed(query.total, window)
        return f"sum(rate({self.source.count}{{{self._where()}}}[{window}]))"

    def _where(self) -> str:
        indicator = self.slo.latency or self.slo.availability
        route = indicator.route if indicator is not None else None
        return where(self.source, self.app, self.service, **labels_of(self.source, route))


def _windowed(query: str, window: str) -> str:
    return query.replace("${window}", window).replace("$window", window)


def objectives(app: Application, service: str, source: Source) -> list[Objective]:
    """Those that the service has."""
    slos = app.services[service].slos
    return [Objective(app=app, service=service, name=n, slo=s, source=source) for n, s in slos.items()]


def days(seconds: float) -> float:
    """A period in days."""
    return seconds / 86400


def period(slo: Slo) -> str:
    """An objective's window as PromQL writes it."""
    whole = round(slo.window)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def recordings(objective: Objective) -> dict[str, Any]:
    """The rule group that measures: bad and all events, their ratio over every window, what is left of the budget."""
    selector = _selector(objective)
    rules = [
        _record("slo:events_bad:rate5m", objective.bad(_BASE), objective),
        _record("slo:events:rate5m", objective.total(_BASE), objective),
    ]
    for window in _DIRECT:
        ratio = f"({objective.bad(window)}) / (({objective.total(window)}) > 0)"
        rules.append(_record(f"slo:sli_error:ratio_rate{window}", ratio, objective, slo_window=window))
    for window in [*[w for w in _LONG if _SECONDS[w] < objective.slo.window], period(objective.slo)]:
        sums = [f"sum_over_time(slo:events{part}:rate5m{selector}[{window}])" for part in ("_bad", "")]
        rules.append(_record(f"slo:sli_error:ratio_rate{window}", f"{sums[0]} / ({sums[1]} > 0)", objective, slo_window=window))
    return {"name": f"slo-measure-{objective.labels['slo_id']}", "interval": "1m", "rules": [*rules, *_meta(objective, selector)]}


def _meta(objective: Objective, selector: str) -> Iterator[Rule]:
    slo, budget = objective.slo, objective.budget
    burned = f"slo:sli_error:ratio_rate{period(slo)}{selector}"
    yield _record("slo:objective:ratio", f"vector({slo.objective / 100:.10g})", objective)
    yield _record("slo:error_budget:ratio", f"vector({budget:.10g})", objective)
    yield _record("slo:time_period:days", f"vector({days(slo.window):g})", objective)
    yield _record("slo:current_burn_rate:ratio", f"slo:sli_error:ratio_rate{_BASE}{selector} / {budget:.10g}", objective)
    yield _record("slo:period_burn_rate:ratio", f"{burned} / {budget:.10g}", objective)
    yield _record("slo:period_error_budget_remaining:ratio", f"1 - {burned} / {budget:.10g}", objective)


def _record(name: str, expression: str, objective: Objective, **more: str) -> Rule:
    return {"record": name, "expr": expression, "labels": {**objective.labels, **more}}


def _selector(objective: Objective) -> str:
    return f'{{slo_id="{objective.labels["slo_id"]}"}}'


def pairs(alert: Alert, window: float) -> Mapping[str, Sequence[Pair]]:
    """The windows by severity. A pair whose long window is no shorter than the objective's own says nothing and is left out."""
    found = {
        "page": (Pair(alert.page, "5m", "1h"), Pair(alert.page_slow, "30m", "6h")),
        "ticket": (Pair(alert.ticket, "2h", "1d"), Pair(alert.ticket_slow, "6h", "3d")),
    }
    return {severity: [p for p in group if _SECONDS[p.long] < window] for severity, group in found.items()}


def alerts(objective: Objective) -> dict[str, Any] | None:
    """The rule group that tells: one alert per severity, one when the budget is used up, one when nothing is measured."""
    if objective.slo.alert.off:
        return None
    rules = [
        _alert(objective, severity, group) for severity, group in pairs(objective.slo.alert, objective.slo.window).items() if group
    ]
    return {"name": f"slo-alerts-{objective.labels['slo_id']}", "rules": [*rules, _exhausted(objective), _absent(objective)]}


def _alert(objective: Objective, severity: str, group: Sequence[Pair]) -> Rule:
    spoken = " or ".join([f"{p.factor:g} times over {p.long}" for p in group])
    return {
        "alert": "SLOErrorBudgetBurn",
        "expr": "\nor\n".join([_burning(objective, p) for p in group]),
        "labels": {**objective.labels, "severity": severity},
        "annotations": {
            "summary": f"{objective.service}: the error budget of {objective.name} burns too fast",
            "description": (
                f"{objective.service} of {objective.app.name} has {objective.slo.objective:g} % of {_events(objective.slo)} as its "
                f"objective over {period(objective.slo)}. Its error budget burns at {spoken} the rate that would just use it up."
            ),
        },
    }


def _burning(objective: Objective, pair: Pair) -> str:
    limit, selector = f"{pair.factor:g} * {objective.budget:.10g}", _selector(objective)
    long, short = (f"max without (slo_window) (slo:sli_error:ratio_rate{w}{selector}) > {limit}" for w in (pair.long, pair.short))
    return f"(({long}) and ({short}))"


def _events(slo: Slo) -> str:
    if slo.latency is not None:
        return f"requests under {slo.latency.threshold * 1000:g} ms"
    return "requests without a failure" if slo.availability is not None else "good events"


def _exhausted(objective: Objective) -> Rule:
    return {
        "alert": "SLOErrorBudgetExhausted",
        "expr": f"slo:period_error_budget_remaining:ratio{_selector(objective)} <= 0",
        "for": "5m",
        "labels": {**objective.labels, "severity": "ticket"},
        "annotations": {
            "summary": f"{objective.service}: the error budget of {objective.name} is used up",
            "description": f"More went wrong in the last {period(objective.slo)} than the objective allows: changes can wait.",
        },
    }


def _absent(objective: Objective) -> Rule:
    return {
        "alert": "SLOMetricsAbsent",
        "expr": f"absent({objective.total(_BASE)})",
        "for": "15m",
        "labels": {**objective.labels, "severity": "ticket"},
        "annotations": {
            "summary": f"{objective.service}: nothing measures {objective.name}",
            "description": "The series that the objective counts are not there: the service is not scraped, or has never answered.",
        },
    }


def groups(objective: Objective) -> list[dict[str, Any]]:
    """Both groups."""
    told = alerts(objective)
    return [recordings(objective), *([told] if told is not None else [])]
