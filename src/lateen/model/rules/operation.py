"""Rules of how a service is released, scaled and watched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from lateen.model.application import Application
from lateen.model.operation import Slo
from lateen.model.problems import Path, Problem, dotted, nearest
from lateen.model.service import Service

_QUEUES = ("rabbitmq", "kafka", "redis", "nats")


def rules(name: str, service: Service, app: Application) -> Iterator[Problem]:
    """Faults of one service."""
    at: Path = ("services", name)
    yield from _kind(at, service)
    yield from _scale(at, service, app)
    yield from _rollout(at, service)
    yield from _canary(at, service)
    for slo, found in service.slos.items():
        yield from _slo((*at, "slos", slo), found, service)
    yield from _metrics(at, service)


def _kind(at: Path, service: Service) -> Iterator[Problem]:
    role = service.role
    if role == "web" and not service.ports:
        yield Problem((*at, "kind"), f"{dotted(at)} is of kind web and has no ports", "add for example ports: {http: 8080}")
    if role == "cron" and service.schedule is None:
        yield Problem((*at, "kind"), f"{dotted(at)} is of kind cron and has no schedule", "add for example schedule: '30 2 * * *'")
    if service.schedule is not None and role != "cron":
        yield Problem((*at, "schedule"), f"{dotted(at)} has a schedule and is of kind {role}", "set kind: cron", True)
    if role not in ("job", "cron"):
        if "job" in service.model_fields_set:
            yield Problem((*at, "job"), f"{dotted(at)}.job: only kinds job and cron have it, this is {role}", at_key=True)
        return
    for field in ("replicas", "scale", "routes", "slos"):
        if field in service.model_fields_set and getattr(service, field) not in (None, [], {}):
            yield Problem((*at, field), f"{dotted(at)}.{field}: a {role} ends, and has none", at_key=True)


def _scale(at: Path, service: Service, app: Application) -> Iterator[Problem]:
    scale, place = service.scale, (*at, "scale")
    if service.replicas is not None and scale is not None:
        yield Problem(place, f"{dotted(at)} has both replicas and scale", "they are the same: keep one", True)
    if service.role == "daemon" and (scale is not None or service.replicas is not None):
        field = "scale" if scale is not None else "replicas"
        yield Problem((*at, field), f"{dotted(at)}.{field}: a daemon runs once on each node", at_key=True)
    if scale is None:
        return
    if scale.max is None and scale.triggers:
        yield Problem(place, f"{dotted(place)} needs max: what decides must know where to stop")
    if scale.max is not None and scale.max < scale.min:
        yield Problem((*place, "max"), f"{dotted(place)}: max {scale.max} is below min {scale.min}")
    if scale.max is not None and scale.max > scale.min and not scale.triggers:
        hint = "add for example cpu: 70%"
        yield Problem(place, f"{dotted(place)} does not say what decides between {scale.min} and {scale.max}", hint)
    for field in ("cpu", "memory"):
        if getattr(scale, field) is not None and getattr(service.resources, field) is None:
            hint = f"add resources: {{{field}: ...}}"
            yield Problem((*place, field), f"{dotted(place)}.{field} is a share of the request, and there is none", hint)
    zero = scale.to_zero or scale.min == 0
    if zero and scale.triggers and not (scale.queue or scale.metric or scale.schedule):
        hint = "a pod that does not run uses nothing: scale to zero by queue, metric or schedule"
        yield Problem((*place, "toZero"), f"{dotted(place)}: nothing would ever start it again", hint)
    if scale.queue is not None:
        found = app.spec.resources.get(scale.queue.resource)
        if found is None:
            known = nearest(scale.queue.resource, app.spec.resources)
            yield Problem((*place, "queue", "resource"), f"there is no resource {scale.queue.resource!r}", known)
        elif found.type is not None and found.type not in _QUEUES:
            yield Problem((*place, "queue", "resource"), f"{scale.queue.resource} is a {found.type}, which has no queues")


def _rollout(at: Path, service: Service) -> Iterator[Problem]:
    rollout = service.rollout
    stuck = {rollout.surge, rollout.unavailable} <= {0, "0%"}
    if rollout.strategy in ("rolling", "canary") and stuck and service.role not in ("job", "cron", "stateful"):
        yield Problem((*at, "rollout"), f"{dotted(at)}.rollout: with surge 0 and unavailable 0 no pod can ever be replaced")
    if rollout.deadline <= (rollout.min_ready or 0):
        yield Problem((*at, "rollout", "deadline"), f"{dotted(at)}.rollout: the deadline must be longer than minReady")
    if rollout.strategy in ("canary", "blue-green") and service.role not in ("web", "worker"):
        yield Problem((*at, "rollout", "strategy"), f"{dotted(at)}.rollout: {rollout.strategy} is for web and worker")


def _canary(at: Path, service: Service) -> Iterator[Problem]:
    rollout, place = service.rollout, (*at, "rollout")
    if rollout.steps and rollout.strategy != "canary":
        yield Problem((*place, "steps"), f"{dotted(place)}.steps: only a canary has steps", "set strategy: canary", True)
    if rollout.preview is not None and rollout.strategy != "blue-green":
        yield Problem((*place, "preview"), f"{dotted(place)}.preview: only blue-green has one", "set strategy: blue-green", True)
    for i, step in enumerate(rollout.steps):
        given = [f for f in ("weight", "replicas", "pause") if getattr(step, f) is not None]
        if not given and not step.analysis:
            yield Problem((*place, "steps", i), f"{dotted((*place, 'steps', i))} needs weight, replicas, pause or analysis")
        if isinstance(step.weight, int) and step.weight > 100:
            yield Problem((*place, "steps", i, "weight"), f"{step.weight}% is more than everything")
        for name in step.analysis:
            if name not in rollout.analysis:
                yield Problem((*place, "steps", i, "analysis"), f"there is no analysis {name!r}", nearest(name, rollout.analysis))
    weights = [(i, s.weight) for i, s in enumerate(rollout.steps) if s.weight is not None]
    for (_, before), (i, after) in pairwise(weights):
        if after < before:
            yield Problem((*place, "steps", i, "weight"), f"{dotted(place)}: the weight falls from {before}% to {after}%")
    for name, analysis in rollout.analysis.items():
        where = (*place, "analysis", name)
        given = [f for f in ("query", "slo", "http", "job") if getattr(analysis, f) is not None]
        if len(given) != 1:
            yield Problem(where, f"{dotted(where)} needs exactly one of query, slo, http and job", at_key=True)
        if analysis.slo is not None and analysis.slo not in service.slos:
            yield Problem((*where, "slo"), f"there is no objective {analysis.slo!r}", nearest(analysis.slo, service.slos))


def _slo(at: Path, slo: Slo, service: Service) -> Iterator[Problem]:
    given = [f for f in ("availability", "latency", "query") if f in slo.model_fields_set]
    if len(given) != 1:
        yield Problem(at, f"{dotted(at)} needs exactly one of availability, latency and query", at_key=True)
    for field, indicator in (("availability", slo.availability), ("latency", slo.latency)):
        if indicator is None:
            continue
        if not service.ports:
            yield Problem((*at, field), f"{dotted(at)}: the service has no ports", "measure it with query: {good, total}", True)
        elif indicator.port is not None and indicator.port not in service.ports:
            hint = nearest(indicator.port, service.ports)
            yield Problem((*at, field, "port"), f"the service has no port {indicator.port!r}", hint)
        if indicator.route is not None and indicator.route not in [r.path for r in service.routes]:
            hint = nearest(indicator.route, [r.path for r in service.routes])
            yield Problem((*at, field, "route"), f"the service has no route {indicator.route!r}", hint)


def _metrics(at: Path, service: Service) -> Iterator[Problem]:
    metrics = service.observe.metrics
    if metrics is None:
        return
    place = (*at, "observe", "metrics")
    if not service.ports:
        yield Problem(place, f"{dotted(place)}: the service has no ports", "add for example ports: {metrics: 9090}", True)
    elif metrics.port is not None and metrics.port not in service.ports:
        yield Problem((*place, "port"), f"the service has no port {metrics.port!r}", nearest(metrics.port, service.ports))
