"""Service level objectives in manifests: an annotation, Sloth, OpenSLO, Pyrra."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lateen.check.manifest import Manifest, Path, mapping, maps
from lateen.check.world import World

SLO = "lateen.dev/slo"


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of good requests (0.999) and where it is written. ``alerts`` is None when the kind says nothing of alerts."""

    service: str
    ratio: float
    manifest: Manifest
    path: Path
    alerts: bool | None = None


def declared(world: World) -> Mapping[tuple[str, str], Objective]:
    """The strictest objective of each service, by (namespace, service)."""
    found: dict[tuple[str, str], Objective] = {}
    for o in objectives(world):
        key = (world.namespace(o.manifest), o.service)
        if key not in found or o.ratio > found[key].ratio:
            found[key] = o
    return found


def objectives(world: World) -> Iterator[Objective]:
    """Every objective."""
    for w in world.serving:
        if SLO in w.manifest.annotations and (ratio := _ratio(w.manifest.annotations[SLO])):
            yield Objective(w.name, ratio, w.manifest, ("metadata", "annotations", SLO))
    for m in world.kind("PrometheusServiceLevel"):
        for i, slo in enumerate(maps(m.spec.get("slos"))):
            if ratio := _ratio(slo.get("objective")):
                alerting = mapping(slo.get("alerting"))
                off = all(mapping(alerting.get(k)).get("disable") is True for k in ("pageAlert", "ticketAlert"))
                yield Objective(str(m.spec.get("service")), ratio, m, ("spec", "slos", i, "objective"), not off and bool(alerting))
    for m in world.kind("SLO"):
        for i, o in enumerate(maps(m.spec.get("objectives"))):
            if ratio := _ratio(o.get("target")):
                alerts = bool(m.spec.get("alertPolicies"))
                yield Objective(str(m.spec.get("service")), ratio, m, ("spec", "objectives", i, "target"), alerts)
    for m in world.kind("ServiceLevelObjective"):
        if ratio := _ratio(m.spec.get("target")):
            disabled = mapping(m.spec.get("alerting")).get("disabled") is True
            yield Objective(m.labels.get("pyrra.dev/service", m.name), ratio, m, ("spec", "target"), not disabled)


def _ratio(value: object) -> float:
    """0.999 of ``99.9``, ``99.9%`` or ``0.999``; 0 when it is none."""
    try:
        number = float(str(value).strip().rstrip("%"))
    except ValueError:
        return 0.0
    return number / 100 if number > 1 else number
