"""HorizontalPodAutoscaler."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, amount, entries, metadata, non_negative, one_of
from lateen.kube.validation.errors import forbidden, invalid, required

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_TARGETS = {"Utilization": "averageUtilization", "Value": "value", "AverageValue": "averageValue"}
_MAX_WINDOW = 3600
_MAX_PERIOD = 1800


def autoscaler(obj: Object, old: Object | None) -> Errors:
    """HorizontalPodAutoscaler (autoscaling/v2)."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if low is not None and low < 1:
        yield invalid("spec.minReplicas", low, "must be greater than or equal to 1")
    if high < 1:
        yield invalid("spec.maxReplicas", high, "must be greater than 0")
    if low is not None and high < low:
        yield invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    for name in ("kind", "name"):
        if not target.get(name):
            yield required(f"spec.scaleTargetRef.{name}")
    for field, metric in entries(spec, "metrics", "spec"):
        yield from _metric(metric, field)
    for way in ("scaleUp", "scaleDown"):
        yield from _rules((spec.get("behavior") or {}).get(way) or {}, f"spec.behavior.{way}")


def _metric(metric: Object, at: str) -> Errors:
    yield from one_of(metric, "type", at, tuple(_SOURCES))
    wanted = _SOURCES.get(metric.get("type") or "")
    for name in _SOURCES.values():
        if name != wanted and metric.get(name) is not None:
            yield forbidden(f"{at}.{name}", "may not be set: only the source of its type is allowed")
    if wanted is None:
        return
    source = metric.get(wanted)
    if source is None:
        yield required(f"{at}.{wanted}", "must populate information for the given metric source")
        return
    if wanted in ("resource", "containerResource") and not source.get("name"):
        yield required(f"{at}.{wanted}.name", "must specify a resource name")
    if wanted == "containerResource" and not source.get("container"):
        yield required(f"{at}.{wanted}.container", "must specify a container")
    if wanted in ("pods", "object", "external") and not (source.get("metric") or {}).get("name"):
        yield required(f"{at}.{wanted}.metric.name", "must specify a metric name")
    yield from _target(source.get("target") or {}, f"{at}.{wanted}.target", wanted)


def _target(target: Object, at: str, source: str) -> Errors:
    yield from one_of(target, "type", at, tuple(_TARGETS))
    wanted = _TARGETS.get(target.get("type") or "")
    if wanted is not None and target.get(wanted) is None:
        yield required(f"{at}.{wanted}", f"must specify {wanted} for the type {target['type']}")
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        yield invalid(f"{at}.averageUtilization", utilization, "must be greater than 0")
    if utilization is not None and source not in ("resource", "containerResource"):
        yield forbidden(f"{at}.averageUtilization", "may only be set for resource metrics")
    for name in ("value", "averageValue"):
        if target.get(name) is not None:
            yield from amount(target[name], f"{at}.{name}", positive=True)


def _rules(rules: Object, at: str) -> Errors:
    window = rules.get("stabilizationWindowSeconds")
    yield from non_negative(rules, at, "stabilizationWindowSeconds")
    if window is not None and window > _MAX_WINDOW:
        yield invalid(f"{at}.stabilizationWindowSeconds", window, f"must be less than or equal to {_MAX_WINDOW}")
    yield from one_of(rules, "selectPolicy", at, ("Max", "Min", "Disabled"), need=False)
    for field, policy in entries(rules, "policies", at):
        yield from one_of(policy, "type", field, ("Pods", "Percent"))
        for name, limit in (("value", None), ("periodSeconds", _MAX_PERIOD)):
            found = policy.get(name, 0)
            if found <= 0:
                yield invalid(f"{field}.{name}", found, "must be greater than zero")
            elif limit is not None and found > limit:
                yield invalid(f"{field}.{name}", found, f"must be less than or equal to {limit}")
