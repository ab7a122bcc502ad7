"""Autoscalers: do they have a target, a signal, and room to work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from lateen.check.checks.capacity import amount
from lateen.check.finding import Edit, Hit, Severity
from lateen.check.manifest import Manifest, Path, mapping, maps
from lateen.check.nearby import nearest
from lateen.check.registry import check
from lateen.check.workload import Container, Workload
from lateen.check.world import World
from lateen.kube import quantity

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_HPA, _VPA, _KEDA = "HorizontalPodAutoscaler", "VerticalPodAutoscaler", "ScaledObject"


def _target(world: World, m: Manifest) -> tuple[str, str, Workload | None]:
    """(kind, name, workload) of an autoscaler's target."""
    ref = mapping(m.spec.get("targetRef" if m.kind == _VPA else "scaleTargetRef"))
    kind, name = str(ref.get("kind") or "Deployment"), str(ref.get("name"))
    found = (w for w in world.in_namespace(world.namespace(m)) if w.kind == kind and w.name == name)
    return kind, name, next(found, None)


def _lost(world: World, kind: str) -> Iterator[Hit]:
    for m in world.kind(kind):
        target_kind, name, workload = _target(world, m)
        if workload is None and world.in_namespace(world.namespace(m)):
            known = [w.name for w in world.in_namespace(world.namespace(m)) if w.kind == target_kind]
            path = ("spec", "targetRef" if kind == _VPA else "scaleTargetRef", "name")
            yield Hit(m, path, f"the {target_kind} {name} is not among the manifests{nearest(name, known)}")


@check(
    "LT-CAP-154",
    "autoscaler without target",
    ERROR,
    why="It scales nothing, and who reads it believes that it does.",
    fix="correct scaleTargetRef",
)
def lost_hpa(world: World) -> Iterator[Hit]:
    yield from _lost(world, _HPA)
    yield from _lost(world, _KEDA)


@check(
    "LT-CAP-163",
    "vertical autoscaler without target",
    ERROR,
    why="It recommends nothing.",
    fix="correct targetRef",
)
def lost_vpa(world: World) -> Iterator[Hit]:
    return _lost(world, _VPA)


@check(
    "LT-CAP-155",
    "autoscaler goes down to one",
    WARNING,
    why="At low load one replica is left: the next crash or drain is an outage.",
    fix="set minReplicas to at least 2",
)
def low_minimum(world: World) -> Iterator[Hit]:
    for m in world.kind(_HPA):
        low = m.spec.get("minReplicas", 1)
        if low == 1:
            yield Hit(m, ("spec", "minReplicas"), "the autoscaler goes down to one replica")


@check(
    "LT-CAP-156",
    "autoscaler has no room",
    ERROR,
    why="When minimum and maximum are equal, or the maximum is below, it can do nothing.",
    fix="raise maxReplicas",
)
def no_room(world: World) -> Iterator[Hit]:
    for m in world.kind(_HPA, _KEDA):
        low = m.spec.get("minReplicas", m.spec.get("minReplicaCount", 1 if m.kind == _HPA else 0))
        high = m.spec.get("maxReplicas", m.spec.get("maxReplicaCount"))
        if isinstance(low, int) and isinstance(high, int) and high <= low:
            path = ("spec", "maxReplicas" if m.kind == _HPA else "maxReplicaCount")
            yield Hit(m, path, f"the autoscaler may choose between {low} and {high} replicas", WARNING if high == low else ERROR)


@check(
    "LT-CAP-157",
    "replicas fixed beside an autoscaler",
    WARNING,
    why="Every apply sets the number back: under load, pods are killed by a deployment of nothing.",
    fix="remove spec.replicas from the workload",
)
def fixed_replicas(world: World) -> Iterator[Hit]:
    if world.live:
        return
    for w in world.serving:
        if "replicas" in w.manifest.spec and world.scalers(w):
            path = ("spec", "replicas")
            yield Hit(w.manifest, path, f"{w.name} has an autoscaler and a fixed number of replicas", None, (Edit(path, None),))


@check(
    "LT-CAP-158",
    "autoscaler measures against nothing",
    ERROR,
    why="Utilization is a share of the request: without one the autoscaler does not act.",
    fix="set the request of that resource on every container",
)
def no_request(world: World) -> Iterator[Hit]:
    for m in world.kind(_HPA):
        _, _, workload = _target(world, m)
        for name, path in _measured(m) if workload else ():
            bare = [c.name for c in workload.containers if c.stays and not _reserved(c, name)] if workload else []
            if bare:
                yield Hit(m, path, f"scales on {name}, which {', '.join(bare)} does not request")


def _reserved(c: Container, name: str) -> bool:
    return amount(c, "requests", name) is not None or amount(c, "limits", name) is not None


def _measured(m: Manifest) -> Iterator[tuple[str, Path]]:
    """(resource, path) of what the autoscaler measures as a share of the request."""
    if "targetCPUUtilizationPercentage" in m.spec:
        yield "cpu", ("spec", "targetCPUUtilizationPercentage")
    for i, metric in enumerate(maps(m.spec.get("metrics"))):
        resource = mapping(metric.get("resource"))
        if mapping(resource.get("target")).get("type") == "Utilization":
            yield str(resource.get("name")), ("spec", "metrics", i, "resource", "name")


@check(
    "LT-CAP-159",
    "two autoscalers on one signal",
    ERROR,
    why="The vertical one changes the request that the horizontal one measures against: they chase each other.",
    fix="let the vertical one control another resource, or only recommend (updateMode: Off)",
)
def both(world: World) -> Iterator[Hit]:
    for m in world.kind(_VPA):
        _, _, workload = _target(world, m)
        if workload is None or mapping(m.spec.get("updatePolicy")).get("updateMode") == "Off":
            continue
        policies = maps(mapping(m.spec.get("resourcePolicy")).get("containerPolicies"))
        controlled = {r for p in policies for r in p.get("controlledResources") or ("cpu", "memory")} or {"cpu", "memory"}
        for hpa in world.scalers(workload):
            measured = {mapping(x.get("resource")).get("name") for x in maps(hpa.spec.get("metrics"))}
            measured |= {t.get("type") for t in maps(hpa.spec.get("triggers"))}
            if shared := measured & controlled:
                yield Hit(
                    m,
                    ("spec", "targetRef"),
                    f"{hpa.kind} {hpa.name} scales {workload.name} on {', '.join(sorted(map(str, shared)))} too",
                )


@check(
    "LT-CAP-160",
    "two autoscalers for one workload",
    ERROR,
    why="Each sets its own number, in turns.",
    fix="keep one; it can have several metrics",
)
def two(world: World) -> Iterator[Hit]:
    by_target = defaultdict(list)
    for m in world.kind(_HPA, _KEDA, _VPA):
        kind, name, _ = _target(world, m)
        by_target[world.namespace(m), kind, name, m.kind == _VPA].append(m)
    for (_, kind, name, _), found in by_target.items():
        if len(found) > 1:
            yield Hit(found[1], ("spec",), f"{kind} {name} is also scaled by {found[0].kind} {found[0].name}")


@check(
    "LT-CAP-161",
    "autoscaler above the quota",
    WARNING,
    why="Beyond the quota no pod is admitted: the scale-out stops in the middle of the peak.",
    fix="raise the ResourceQuota, or lower maxReplicas",
)
def above_quota(world: World) -> Iterator[Hit]:
    for m in world.kind(_HPA):
        _, _, workload = _target(world, m)
        most = m.spec.get("maxReplicas")
        for quota in world.kind("ResourceQuota") if workload and isinstance(most, int) else ():
            if world.namespace(quota) != world.namespace(m):
                continue
            for key, value in mapping(quota.spec.get("hard")).items():
                name = {"requests.cpu": "cpu", "cpu": "cpu", "requests.memory": "memory", "memory": "memory", "pods": "pods"}.get(
                    key
                )
                if name is None or workload is None or not isinstance(most, int):
                    continue
                one = (
                    Fraction(1)
                    if name == "pods"
                    else sum((amount(c, "requests", name) or Fraction(0) for c in workload.main), Fraction(0))
                )
                if one * most > quantity.parse(value):
                    yield Hit(
                        m,
                        ("spec", "maxReplicas"),
                        f"{most} replicas of {workload.name} need more {name} than the quota {quota.name} allows",
                    )


@check(
    "LT-CAP-162",
    "autoscaler that flaps",
    WARNING,
    why="A scale-down window shorter than a start removes pods that are needed again before others are ready.",
    fix="leave stabilizationWindowSeconds at its default (300), or above the start time",
)
def flaps(world: World) -> Iterator[Hit]:
    for m in world.kind(_HPA):
        window = mapping(mapping(m.spec.get("behavior")).get("scaleDown")).get("stabilizationWindowSeconds")
        if isinstance(window, int) and window < 30:
            path = ("spec", "behavior", "scaleDown", "stabilizationWindowSeconds")
            yield Hit(m, path, f"the autoscaler scales down after {window} s")


@check(
    "LT-CAP-152",
    "autoscaler's minimum is very high",
    WARNING,
    why="A minimum near the maximum is a fixed number that fits the peak: idle the rest of the time.",
    fix="lower minReplicas to what the quiet hours need",
)
def high_minimum(world: World) -> Iterator[Hit]:
    for m in world.kind(_HPA):
        low, high = m.spec.get("minReplicas", 1), m.spec.get("maxReplicas")
        if isinstance(low, int) and isinstance(high, int) and low < high and low >= 10 and low * 10 >= high * 8:
            yield Hit(m, ("spec", "minReplicas"), f"the autoscaler never goes below {low} of {high} replicas")


@check(
    "LT-CAP-245",
    "target that leaves no reserve",
    WARNING,
    why="At 95 % and more there is no room until new pods are ready; at a few percent the service runs many idle pods.",
    fix="aim at 50 to 80 % of the request",
)
def extreme_target(world: World) -> Iterator[Hit]:
    for m in world.kind(_HPA):
        for i, metric in enumerate(maps(m.spec.get("metrics"))):
            value = mapping(mapping(metric.get("resource")).get("target")).get("averageUtilization")
            if isinstance(value, int) and (value >= 95 or value < 20) and value <= 100:
                path = ("spec", "metrics", i, "resource", "target", "averageUtilization")
                yield Hit(m, path, f"the autoscaler aims at {value} % of the request")
        value = m.spec.get("targetCPUUtilizationPercentage")
        if isinstance(value, int) and (95 <= value <= 100 or value < 20):
            yield Hit(m, ("spec", "targetCPUUtilizationPercentage"), f"the autoscaler aims at {value} % of the request")
