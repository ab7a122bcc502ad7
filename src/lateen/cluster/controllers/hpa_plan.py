"""How many replicas a metric asks for, and how many a HorizontalPodAutoscaler then gives. Pure.

The arithmetic is that of kube-controller-manager (replica_calculator.go, horizontal.go). Values are in thousandths (milli) of the
metric's unit; times are datetimes, spans seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lateen.cluster.controllers.kit import spec_of, status_of
from lateen.kube import quantity
from lateen.kube.meta import Object, condition, meta, parse_time

TOLERANCE, DOWN_WINDOW = 0.1, 300.0
CPU_INITIALIZATION, INITIAL_READINESS = 300.0, 30.0


class MetricError(Exception):
    """A metric that gives no number; ``reason`` is the condition's (FailedGetResourceMetric, ...)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True, slots=True)
class Sample:
    """What one pod used. ``window`` is how long it was measured."""

    value: int
    at: datetime
    window: float = 0.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The interval of ratios that counts as 1: [1 - down, 1 + up]."""

    up: float = TOLERANCE
    down: float = TOLERANCE

    def holds(self, ratio: float) -> bool:
        """Whether nothing is to be done."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


def tolerance_of(hpa: Object) -> Tolerance:
    """The tolerances of ``spec.behavior``."""
    found = {}
    for way, name in (("up", "scaleUp"), ("down", "scaleDown")):
        value = ((spec_of(hpa).get("behavior") or {}).get(name) or {}).get("tolerance")
        found[way] = TOLERANCE if value is None else quantity.milli(value) / 1000
    return Tolerance(**found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Pods by what their numbers are worth. ``ignored``: not ready, or too young; ``missing``: without a number."""

    ready: tuple[str, ...]
    ignored: frozenset[str]
    missing: frozenset[str]


def grouped(pods: Sequence[Object], samples: Mapping[str, Sample], *, cpu: bool, now: datetime) -> Groups:
    """Sort pods; those on their way out and failed ones do not count at all."""
    ready: list[str] = []
    ignored: set[str] = set()
    missing: set[str] = set()
    for pod in pods:
        name, phase = meta(pod)["name"], status_of(pod).get("phase")
        if meta(pod).get("deletionTimestamp") or phase == "Failed":
            continue
        if phase == "Pending":
            ignored.add(name)
        elif name not in samples:
            missing.add(name)
        elif cpu and _young(pod, samples[name], now):
            ignored.add(name)
        else:
            ready.append(name)
    return Groups(ready=tuple(ready), ignored=frozenset(ignored), missing=frozenset(missing))


def _young(pod: Object, sample: Sample, now: datetime) -> bool:
    """Whether a pod's CPU use is that of its start."""
    found, began = condition(status_of(pod).get("conditions"), "Ready"), status_of(pod).get("startTime")
    if found is None or not began:
        return True
    changed, start = parse_time(found["lastTransitionTime"]), parse_time(began)
    if (now - start).total_seconds() < CPU_INITIALIZATION:
        return found.get("status") == "False" or (sample.at - changed).total_seconds() < sample.window
    return found.get("status") == "False" and (changed - start).total_seconds() < INITIAL_READINESS


@dataclass(frozen=True, slots=True)
class Proposal:
    """The replicas that one metric asks for, and the metric's ``status.currentMetrics`` value: milli, or percent."""

    replicas: int
    value: int
    utilization: int | None = None


def by_utilization(
    groups: Groups, samples: Mapping[str, Sample], requests: Mapping[str, int], *, target: int, current: int, tolerance: Tolerance
) -> Proposal:
    """CPU or memory as a share of what was asked for. ``target`` in percent."""

    def ratio(values: Mapping[str, int]) -> tuple[float, int]:
        asked = sum(requests[name] for name in values)
        used = sum(values.values()) * 100 // asked if asked else 0
        return used / target, used

    values = {name: samples[name].value for name in groups.ready}
    if not values:
        raise MetricError("FailedGetResourceMetric", "did not receive metrics for targeted pods (pods might be unready)")
    first, used = ratio(values)
    fill = {name: requests[name] * max(100, target) // 100 for name in groups.missing}
    replicas = _balanced(groups, values, first, lambda v: ratio(v)[0], fill, current=current, tolerance=tolerance)
    return Proposal(replicas, sum(values.values()) // len(values), used)


def by_average(groups: Groups, samples: Mapping[str, Sample], *, target: int, current: int, tolerance: Tolerance) -> Proposal:
    """A value per pod. ``target`` in milli."""

    def ratio(values: Mapping[str, int]) -> float:
        return sum(values.values()) / len(values) / target

    values = {name: samples[name].value for name in groups.ready}
    if not values:
        raise MetricError("FailedGetPodsMetric", "did not receive metrics for targeted pods (pods might be unready)")
    fill = dict.fromkeys(groups.missing, target)
    replicas = _balanced(groups, values, ratio(values), ratio, fill, current=current, tolerance=tolerance)
    return Proposal(replicas, sum(values.values()) // len(values))


def _balanced(
    groups: Groups,
    values: dict[str, int],
    first: float,
    ratio: Any,
    fill: Mapping[str, int],
    *,
    current: int,
    tolerance: Tolerance,
) -> int:
    """The count for a ratio; pods without a number are taken as against the change, so that it is not larger than it must be."""
    ignoring = bool(groups.ignored) and first > 1.0
    if not groups.missing and not ignoring:
        return current if tolerance.holds(first) else math.ceil(first * len(groups.ready))
    filled = dict(values)
    if groups.missing:
        filled |= fill if first < 1.0 else dict.fromkeys(groups.missing, 0)
    if ignoring:
        filled |= dict.fromkeys(groups.ignored, 0)
    second = ratio(filled)
    if tolerance.holds(second) or (first < 1.0) != (second < 1.0):
        return current
    wanted = math.ceil(second * len(filled))
    return current if (second < 1.0 and wanted > current) or (second > 1.0 and wanted < current) else wanted


def by_value(value: int, target: int, *, ready: int, current: int, tolerance: Tolerance) -> int:
    """One value for all pods (Object and External with type Value)."""
    ratio = value / target
    if current == 0:
        return math.ceil(ratio)
    return current if tolerance.holds(ratio) else math.ceil(ratio * ready)


def by_total(value: int, target: int, *, current: int, tolerance: Tolerance) -> int:
    """One value that is shared by all pods (Object and External with type AverageValue)."""
    if current and tolerance.holds(value / (target * current)):
        return current
    return math.ceil(value / target)


# what it is called


def metric_words(metric: Mapping[str, Any]) -> str:
    """A metric as conditions and events name it."""
    kind = metric["type"]
    source = metric[kind[0].lower() + kind[1:]]
    if kind in ("Resource", "ContainerResource"):
        what = "resource" if kind == "Resource" else "container resource"
        share = source["target"].get("averageUtilization") is not None
        return f"{source['name']} {what} utilization (percentage of request)" if share else f"{source['name']} {what}"
    name = source["metric"]["name"]
    if kind == "Object":
        return f"{source['describedObject']['kind']} metric {name}"
    return (
        f"pods metric {name}" if kind == "Pods" else f"external metric {name}({selector_words(source['metric'].get('selector'))})"
    )


def selector_words(selector: Mapping[str, Any] | None) -> str:
    """A label selector as Go prints it, which is how events show it."""
    if selector is None:
        return "nil"
    labels = "".join(f"{k}: {v}," for k, v in sorted((selector.get("matchLabels") or {}).items()))
    rules = [
        f"LabelSelectorRequirement{{Key:{r['key']},Operator:{r['operator']},Values:[{' '.join(r.get('values') or ())}],}},"
        for r in selector.get("matchExpressions") or ()
    ]
    words = f"MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{''.join(rules)}}},"
    return f"&LabelSelector{{{words}}}"


# what is given


@dataclass(slots=True)
class Past:
    """What an autoscaler remembers: recommendations, and how much it changed when."""

    recommended: list[tuple[datetime, int]] = field(default_factory=list)
    changes: list[tuple[datetime, int]] = field(default_factory=list)  # positive: up

    def changed(self, now: datetime, seconds: float, *, up: bool) -> int:
        """Replicas added (or taken away) within the last ``seconds``."""
        recent = [n for at, n in self.changes if (now - at).total_seconds() < seconds]
        return sum(n for n in recent if n > 0) if up else -sum(n for n in recent if n < 0)

    def forget(self, now: datetime, seconds: float) -> None:
        """Drop what is older."""
        self.recommended = [r for r in self.recommended if (now - r[0]).total_seconds() < seconds]
        self.changes = [c for c in self.changes if (now - c[0]).total_seconds() < seconds]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The replicas to set, with the conditions (type, status, reason, message) that explain them."""

    replicas: int
    able: tuple[str, str]  # reason and message of AbleToScale=True
    limited: tuple[bool, str, str]  # ScalingLimited: status, reason, message


_UP: Mapping[str, Any] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_DOWN: Mapping[str, Any] = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def rules(hpa: Object, way: str) -> Mapping[str, Any]:
    """The scaling rules for ``scaleUp`` or ``scaleDown``, with defaults."""
    given = (spec_of(hpa).get("behavior") or {}).get(way) or {}
    base = _UP if way == "scaleUp" else {"stabilizationWindowSeconds": DOWN_WINDOW, **_DOWN}
    return {**base, **{k: v for k, v in given.items() if v is not None}}


def given(hpa: Object, past: Past, desired: int, current: int, now: datetime) -> Outcome:
    """Stabilise, then limit the rate, then stay within min and max."""
    stable, able = _stabilised(hpa, past, desired, current, now)
    lowest, highest = int(spec_of(hpa).get("minReplicas") or 1), int(spec_of(hpa)["maxReplicas"])
    if stable > current:
        rate = _up_limit(rules(hpa, "scaleUp"), past, current, now)
        bound = min(max(current, rate), highest)
        words = _words(rate < highest, "ScaleUpLimit", "TooManyReplicas", "increasing faster")
        result = min(stable, bound)
        return Outcome(result, able, (True, *words) if stable > bound else _WITHIN)
    if stable < current:
        rate = _down_limit(rules(hpa, "scaleDown"), past, current, now)
        bound = max(min(current, rate), lowest)
        words = _words(rate > lowest, "ScaleDownLimit", "TooFewReplicas", "decreasing faster")
        result = max(stable, bound)
        return Outcome(result, able, (True, *words) if stable < bound else _WITHIN)
    if stable > highest:
        return Outcome(highest, able, (True, "TooManyReplicas", _MORE))
    if stable < lowest:
        return Outcome(lowest, able, (True, "TooFewReplicas", _FEWER))
    return Outcome(stable, able, _WITHIN)


_WITHIN = (False, "DesiredWithinRange", "the desired count is within the acceptable range")
_MORE = "the desired replica count is more than the maximum replica count"
_FEWER = "the desired replica count is less than the minimum replica count"


def _words(by_rate: bool, rate_reason: str, bound_reason: str, doing: str) -> tuple[str, str]:
    if by_rate:
        return rate_reason, f"the desired replica count is {doing} than the maximum scale rate"
    return bound_reason, _MORE if bound_reason == "TooManyReplicas" else _FEWER


def _stabilised(hpa: Object, past: Past, desired: int, current: int, now: datetime) -> tuple[int, tuple[str, str]]:
    windows = {way: float(rules(hpa, way)["stabilizationWindowSeconds"]) for way in ("scaleUp", "scaleDown")}
    up = down = desired
    for at, value in past.recommended:
        age = (now - at).total_seconds()
        if age < windows["scaleUp"]:
            up = min(up, value)
        if age < windows["scaleDown"]:
            down = max(down, value)
    past.forget(now, max(3600.0, *windows.values()))
    past.recommended.append((now, desired))
    result = min(max(current, up), down) if up <= down else desired
    if result < desired:
        text = "recent recommendations were lower than current one, applying the lowest recent recommendation"
        return result, ("ScaleUpStabilized", text)
    if result > desired:
        text = "recent recommendations were higher than current one, applying the highest recent recommendation"
        return result, ("ScaleDownStabilized", text)
    return result, ("ReadyForNewScale", "recommended size matches current size")


def _up_limit(rule: Mapping[str, Any], past: Past, current: int, now: datetime) -> int:
    if rule["selectPolicy"] == "Disabled":
        return current
    bounds: list[int] = []
    for policy in rule["policies"]:
        start = current - past.changed(now, policy["periodSeconds"], up=True)
        start += past.changed(now, policy["periodSeconds"], up=False)
        value = policy["value"]
        bounds.append(start + value if policy["type"] == "Pods" else math.ceil(start * (1 + value / 100)))
    return max(bounds) if rule["selectPolicy"] == "Max" else min(bounds)


def _down_limit(rule: Mapping[str, Any], past: Past, current: int, now: datetime) -> int:
    if rule["selectPolicy"] == "Disabled":
        return current
    bounds: list[int] = []
    for policy in rule["policies"]:
        start = current - past.changed(now, policy["periodSeconds"], up=True)
        start += past.changed(now, policy["periodSeconds"], up=False)
        value = policy["value"]
        bounds.append(start - value if policy["type"] == "Pods" else int(start * (1 - value / 100)))
    return min(bounds) if rule["selectPolicy"] == "Max" else max(bounds)
