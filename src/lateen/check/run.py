"""Runs checks over a World and judges what they say: severity, place, waivers, profile. Pure; the CLI prints the Report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from lateen.check.config import WAIVE, Config, Waiver, waivers_of
from lateen.check.finding import Finding, Hit, Severity
from lateen.check.manifest import Manifest
from lateen.check.registry import Check, hits
from lateen.check.world import World


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it. ``skipped`` are (check, what it needs); ``hidden`` counts findings below the profile's severity."""

    findings: tuple[Finding, ...]
    waived: tuple[Finding, ...] = ()
    skipped: tuple[tuple[Check, str], ...] = ()
    hidden: int = 0
    objects: int = 0
    checks: int = 0
    notes: list[str] = field(default_factory=list)

    def worst(self) -> Severity | None:
        """The worst severity found."""
        return max((f.severity for f in self.findings), default=None)


def run(world: World, checks: Sequence[Check], config: Config) -> Report:
    """Every check that the configuration wants, over the world."""
    wanted = [c for c in checks if config.wants(c.id)]
    lacking = [(c, c.needs) for c in wanted if c.needs and not _available(world, c.needs)]
    without = {c.id for c, _ in lacking}
    found: list[Finding] = []
    waived: list[Finding] = []
    hidden = 0
    waivers = _Waivers(config, world.now.date() if world.now else None)
    for c in wanted:
        if c.id in without:
            continue
        try:
            said = list(hits(c, world))
        except (AttributeError, KeyError, TypeError, ValueError):
            # An object of a shape that Kubernetes refuses: the checks of shapes say which; this one could not look.
            lacking.append((c, "well-formed objects"))
            continue
        for hit, severity in _judged(c, said, config):
            if severity < config.least:
                hidden += 1
                continue
            finding = _finding(c, hit, severity)
            if reason := waivers.reason(finding):
                waived.append(replace(finding, waived=reason))
            else:
                found.append(finding)
    return Report(
        findings=tuple(placed(f) for f in sorted(found, key=_order)),
        waived=tuple(placed(f) for f in sorted(waived, key=_order)),
        skipped=tuple(lacking),
        hidden=hidden,
        objects=len(world.objects),
        checks=len(wanted) - len(lacking),
    )


def _available(world: World, need: str) -> bool:
    return {"time": world.now is not None, "live": world.live}.get(need, False)


def _judged(check: Check, found: Iterable[Hit], config: Config) -> Iterator[tuple[Hit, Severity]]:
    seen = set()
    for hit in found:
        key = (id(hit.manifest), hit.path, hit.message)
        if key not in seen:
            seen.add(key)
            override = (config.severity or {}).get(check.id)
            yield hit, override or hit.severity or check.severity


def _finding(check: Check, hit: Hit, severity: Severity) -> Finding:
    return Finding(
        id=check.id,
        severity=severity,
        message=hit.message,
        object=str(hit.manifest) if hit.manifest.kind else hit.manifest.source,
        steps=hit.path,
        where=hit.manifest.source,
        fix=check.fix,
        manifest=hit.manifest,
        edits=hit.edits,
    )


def placed(finding: Finding) -> Finding:
    """The finding with its place in the file. Apart because places cost time: only what is shown gets one."""
    mark = finding.manifest.locate(finding.steps) if finding.manifest is not None else None
    return replace(finding, mark=mark, where=str(mark) if mark else finding.where)


def _order(finding: Finding) -> tuple[int, str, str, str, str]:
    return (-finding.severity, finding.object, finding.id, finding.path, finding.message)


class _Waivers:
    """Those of the configuration and those on objects; one that ended waives nothing."""

    def __init__(self, config: Config, today: date | None) -> None:
        self._config, self._today = config, today
        self._of: dict[int, list[Waiver]] = {}

    def reason(self, finding: Finding) -> str:
        own = self._own(finding.manifest)
        for waiver in (*own, *self._config.waivers):
            if waiver.covers(finding.id, finding.object) and not waiver.ended(self._today):
                return waiver.reason
        return ""

    def _own(self, manifest: Manifest | None) -> list[Waiver]:
        if manifest is None or WAIVE not in manifest.annotations:
            return []
        if id(manifest) not in self._of:
            self._of[id(manifest)] = waivers_of(manifest.annotations[WAIVE])[0]
        return self._of[id(manifest)]
