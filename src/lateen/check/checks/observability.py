"""Metrics, traces, logs, objectives, alerts: is what runs also seen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lateen.check.exposure import reachable, store
from lateen.check.finding import Hit, Severity
from lateen.check.manifest import mapping, maps
from lateen.check.objectives import declared, objectives
from lateen.check.practice import on, usual
from lateen.check.registry import check
from lateen.check.workload import Workload
from lateen.check.world import World
from lateen.kube import selectors

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


@check(
    "LT-OBS-204",
    "monitor that finds nothing",
    ERROR,
    why="The metrics are never collected, and alerts on them never fire.",
    fix="correct the selector and the port's name",
)
def idle_monitor(world: World) -> Iterator[Hit]:
    for m in world.kind("ServiceMonitor"):
        names = mapping(m.spec.get("namespaceSelector"))
        spaces = names.get("matchNames") or ([] if names.get("any") else [world.namespace(m)])
        candidates = [s for s in world.services if not spaces or world.namespace(s) in spaces]
        matches = selectors.from_selector(mapping(m.spec.get("selector")))
        found = [s for s in candidates if matches(s.labels)]
        if candidates and not found:
            yield Hit(m, ("spec", "selector"), "the monitor selects no Service", WARNING if names.get("any") else None)
        for i, e in enumerate(maps(m.spec.get("endpoints"))):
            ports = {p.get("name") for s in found for p in maps(s.spec.get("ports"))}
            if found and e.get("port") and e["port"] not in ports:
                yield Hit(m, ("spec", "endpoints", i, "port"), f"the selected Services have no port named {e['port']!r}")
    for m in world.kind("PodMonitor"):
        near = not m.spec.get("namespaceSelector") and world.in_namespace(world.namespace(m))
        if near and not world.selected(world.namespace(m), m.spec.get("selector")):
            yield Hit(m, ("spec", "selector"), "the monitor selects no pod")


def _scraped(world: World, w: Workload) -> bool:
    if any(a.get("prometheus.io/scrape") == "true" for a in (w.annotations, *(s.annotations for s in world.fronts(w)))):
        return True
    for m in world.kind("ServiceMonitor"):
        if any(selectors.from_selector(mapping(m.spec.get("selector")))(s.labels) for s in world.fronts(w)):
            return True
    return any(w in world.selected(world.namespace(m), m.spec.get("selector")) for m in world.kind("PodMonitor"))


@check(
    "LT-OBS-259",
    "nobody collects its metrics",
    WARNING,
    why="The others are measured, this one is not: its failures are seen only through them.",
    fix="add a ServiceMonitor or the scrape annotations",
)
def not_scraped(world: World) -> Iterator[Hit]:
    serving = [w for w in world.serving if world.fronts(w) and not store(w)]
    common = usual(serving, lambda w: _scraped(world, w))
    for w in serving if common else ():
        if not _scraped(world, w):
            yield Hit(w.manifest, ("metadata", "name"), f"the metrics of {w.name} are not collected, unlike those of the others")


def _traces(w: Workload) -> bool:
    return any(re.search(r"OTEL_|JAEGER|ZIPKIN|TRACING|DD_TRACE", str(e.get("name"))) for c in w.containers for e in c.env)


@check(
    "LT-OBS-205",
    "trace ends here",
    WARNING,
    why="The others send traces, this one does not: every request through it is cut in two.",
    fix="configure tracing as for the others (OTEL_EXPORTER_OTLP_ENDPOINT)",
)
def no_traces(world: World) -> Iterator[Hit]:
    serving = [w for w in world.serving if world.fronts(w) and not store(w)]
    for w in serving if usual(serving, _traces) else ():
        if not _traces(w):
            yield Hit(w.manifest, (*w.main[0].path, "env") if w.main else w.path(), f"{w.name} sends no traces, unlike the others")


@check(
    "LT-OBS-206",
    "debug output",
    WARNING,
    why="Debug modes are slow, fill the logs, and show internals (and secrets) to whoever sees an error page.",
    fix="set the level to info and the debug mode off",
)
def debug(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for i, e in enumerate(c.env):
            name, value = str(e.get("name")).upper(), str(e.get("value", "")).lower()
            level = name.endswith(("LOG_LEVEL", "LOGLEVEL", "LOGGING_LEVEL")) and value in ("debug", "trace", "all")
            mode = name in ("DEBUG", "FLASK_DEBUG", "DJANGO_DEBUG", "APP_DEBUG") and value in ("1", "true", "yes", "on", "*")
            env = name in ("NODE_ENV", "FLASK_ENV", "RAILS_ENV", "ASPNETCORE_ENVIRONMENT", "APP_ENV") and value in (
                "development",
                "dev",
            )
            if level or mode or env:
                yield on(
                    c, "env", i, "value", say=f"runs with {e.get('name')}={e.get('value')}", severity=INFO if env or level else None
                )


@check(
    "LT-OBS-207",
    "entry service without objective",
    WARNING,
    why="Others have objectives; nobody knows how good this one must be.",
    fix="declare an SLO for it",
)
def no_objective(world: World) -> Iterator[Hit]:
    known = declared(world)
    for w in world.serving if known else ():
        names = {w.name, *(s.name for s in world.fronts(w))}
        if reachable(world, w) and not any((w.namespace, n) in known for n in names):
            yield Hit(w.manifest, ("metadata", "name"), f"{w.name} is reachable from outside and has no objective")


@check(
    "LT-OBS-208",
    "objective without alert",
    WARNING,
    why="The budget burns and nobody is told.",
    fix="add burn-rate alerts for it",
)
def no_alert(world: World) -> Iterator[Hit]:
    for o in objectives(world):
        if o.alerts is False:
            yield Hit(o.manifest, o.path, f"the objective of {o.service} has no alert")


@check(
    "LT-OBS-209",
    "alert without what to do",
    WARNING,
    why="Who is woken by it must find out what it means.",
    fix="add annotations summary and runbook_url, and the label severity",
)
def bare_alert(world: World) -> Iterator[Hit]:
    for m in world.kind("PrometheusRule"):
        for i, group in enumerate(maps(m.spec.get("groups"))):
            for j, rule in enumerate(maps(group.get("rules"))):
                if not rule.get("alert"):
                    continue
                path = ("spec", "groups", i, "rules", j, "alert")
                notes, labels = mapping(rule.get("annotations")), mapping(rule.get("labels"))
                lacking = [] if any("runbook" in k for k in notes) else ["a runbook"]
                lacking += [] if labels.get("severity") or labels.get("priority") else ["a severity"]
                if len(lacking) == 2 or (lacking and not notes):
                    yield Hit(m, path, f"the alert {rule['alert']} has neither a runbook nor a severity")
                elif lacking:
                    yield Hit(m, path, f"the alert {rule['alert']} has not {lacking[0]}", INFO)


@check(
    "LT-OBS-260",
    "alert on a moment",
    WARNING,
    why="Without `for` a single bad sample wakes somebody.",
    fix="add for: 5m, or use burn rates over windows",
)
def instant_alert(world: World) -> Iterator[Hit]:
    for m in world.kind("PrometheusRule"):
        for i, group in enumerate(maps(m.spec.get("groups"))):
            for j, rule in enumerate(maps(group.get("rules"))):
                windows = [_minutes(w) for w in re.findall(r"\[(\d+[smhd])", str(rule.get("expr", "")))]
                if rule.get("alert") and not rule.get("for") and max(windows, default=0) < 5:
                    yield Hit(m, ("spec", "groups", i, "rules", j, "alert"), f"the alert {rule['alert']} fires on a single sample")


def _minutes(window: str) -> float:
    return int(window[:-1]) * {"s": 1 / 60, "m": 1.0, "h": 60.0, "d": 1440.0}[window[-1]]


@check(
    "LT-OBS-212",
    "sampling drops the errors",
    WARNING,
    why="Sampling at the start keeps a share of everything: of the rare errors almost nothing is left.",
    fix="use tail_sampling with a policy for errors and slow requests",
)
def head_sampling(world: World) -> Iterator[Hit]:
    for m in world.kind("ConfigMap", "OpenTelemetryCollector"):
        texts = mapping(m.data.get("data")).items() if m.kind == "ConfigMap" else [("config", str(m.spec.get("config", "")))]
        for key, value in texts:
            found = re.search(r"probabilistic_sampler['\"/\w]*:\s*\{?\s*['\"]?sampling_percentage['\"]?:\s*([\d.]+)", str(value))
            if found and float(found.group(1)) < 100 and "tail_sampling" not in str(value):
                path = ("data", key) if m.kind == "ConfigMap" else ("spec", "config")
                yield Hit(m, path, f"only {found.group(1)} % of all traces are kept, errors included")
