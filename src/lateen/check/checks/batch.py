"""Jobs and CronJobs: do they end, do they overlap, are they cleaned up."""

from __future__ import annotations

from collections.abc import Iterator

from lateen.check.finding import Hit, Severity
from lateen.check.manifest import Manifest, Path, mapping
from lateen.check.registry import check
from lateen.check.world import World
from lateen.errors import InputError

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


def _jobs(world: World) -> Iterator[tuple[Manifest, Path]]:
    """Jobs and CronJobs with the path of the job's spec."""
    yield from ((m, ("spec",)) for m in world.kind("Job"))
    yield from ((m, ("spec", "jobTemplate", "spec")) for m in world.kind("CronJob"))


@check(
    "LT-REL-125",
    "restart policy does not fit",
    ERROR,
    why="The API refuses Always for jobs, and anything else for what must keep running.",
    fix="Never or OnFailure for jobs; Always (or nothing) elsewhere",
)
def restart_policy(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        policy = w.pod.get("restartPolicy")
        if w.kind in ("Job", "CronJob") and policy not in ("Never", "OnFailure"):
            yield Hit(
                w.manifest,
                w.path("restartPolicy"),
                f"a {w.kind} needs restartPolicy Never or OnFailure, not {policy or 'the default'}",
            )
        elif w.serves and policy not in (None, "Always"):
            yield Hit(w.manifest, w.path("restartPolicy"), f"a {w.kind} cannot have restartPolicy {policy}")


@check(
    "LT-REL-126",
    "CronJob without deadline",
    INFO,
    why="A run that could not start is tried hours later, or after 100 missed ones never again.",
    fix="set startingDeadlineSeconds",
)
def cron_deadline(world: World) -> Iterator[Hit]:
    for m in world.kind("CronJob"):
        if "startingDeadlineSeconds" not in m.spec:
            yield Hit(m, ("spec", "startingDeadlineSeconds"), "late runs are never given up")


def _interval(schedule: str) -> int:
    """The seconds between runs for the common forms; 0 when it is not that simple."""
    minute, *rest = schedule.split() if len(schedule.split()) == 5 else ["", ""]
    if minute == "*":
        return 60
    if minute.startswith("*/") and minute[2:].isdigit() and all(r == "*" for r in rest):
        return int(minute[2:]) * 60
    if minute.isdigit() and rest and all(r == "*" for r in rest):
        return 3600
    return 0


@check(
    "LT-REL-127",
    "runs of a CronJob may overlap",
    WARNING,
    why="When a run takes longer than the interval the next one starts beside it: they fight for the same data, and pile up.",
    fix="set concurrencyPolicy: Forbid (or Replace), and activeDeadlineSeconds",
)
def overlap(world: World) -> Iterator[Hit]:
    for m in world.kind("CronJob"):
        interval = _interval(str(m.spec.get("schedule", "")))
        if m.spec.get("concurrencyPolicy", "Allow") == "Allow":
            often = 0 < interval <= 900
            deadline = m.at("spec", "jobTemplate", "spec", "activeDeadlineSeconds")
            bounded = isinstance(deadline, int) and 0 < deadline <= interval
            severity = WARNING if often and not bounded else INFO
            if not bounded:
                yield Hit(m, ("spec", "concurrencyPolicy"), "runs may overlap (concurrencyPolicy Allow)", severity)
        deadline = m.at("spec", "jobTemplate", "spec", "activeDeadlineSeconds")
        if interval and isinstance(deadline, int) and deadline > interval and m.spec.get("concurrencyPolicy") == "Forbid":
            say = f"a run may take {deadline} s and is due every {interval} s: runs are skipped"
            yield Hit(m, ("spec", "jobTemplate", "spec", "activeDeadlineSeconds"), say, INFO)


@check(
    "LT-REL-128",
    "finished Job stays for ever",
    INFO,
    why="Finished Jobs and their pods pile up in the API server until somebody deletes them.",
    fix="set ttlSecondsAfterFinished",
)
def job_ttl(world: World) -> Iterator[Hit]:
    for m in world.kind("Job"):
        owned = m.metadata.get("ownerReferences") or any(
            k.startswith(("helm.sh/hook", "argocd.argoproj.io/hook")) for k in m.annotations
        )
        if "ttlSecondsAfterFinished" not in m.spec and not owned:
            yield Hit(m, ("spec", "ttlSecondsAfterFinished"), "the Job stays after it has finished")


@check(
    "LT-REL-233",
    "Job may run for ever",
    INFO,
    why="A Job that hangs holds its resources, and its CronJob with Forbid never runs again.",
    fix="set activeDeadlineSeconds",
)
def job_deadline(world: World) -> Iterator[Hit]:
    for m, path in _jobs(world):
        if not mapping(m.at(*path)).get("activeDeadlineSeconds"):
            severity = (
                WARNING if m.spec.get("concurrencyPolicy") == "Forbid" and _interval(str(m.spec.get("schedule", ""))) else INFO
            )
            yield Hit(m, (*path, "activeDeadlineSeconds"), "nothing ends the Job when it hangs", severity)


@check(
    "LT-REL-234",
    "schedule is not valid",
    ERROR,
    why="The API refuses it, or it never comes.",
    fix="five fields: minute hour day month weekday",
)
def schedule(world: World) -> Iterator[Hit]:
    from lateen.kube import cron

    for m in world.kind("CronJob"):
        text = str(m.spec.get("schedule", ""))
        try:
            cron.check(text)
        except InputError as error:
            yield Hit(m, ("spec", "schedule"), f"{text!r} is no schedule: {error}")


@check(
    "LT-REL-235",
    "suspended CronJob",
    INFO,
    why="It never runs; often it was suspended during an incident and forgotten.",
    fix="remove suspend, or the CronJob",
)
def suspended(world: World) -> Iterator[Hit]:
    for m in world.kind("CronJob"):
        if m.spec.get("suspend") is True:
            yield Hit(m, ("spec", "suspend"), "the CronJob is suspended")
