"""apps, batch, autoscaling, policy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lateen.cluster.api.tables.base import (
    AGE,
    NAME,
    NONE,
    SELECTOR,
    TEMPLATE,
    UNKNOWN,
    Column,
    at,
    containers,
    count,
    dig,
    human_duration,
    number,
    selector_text,
    since,
    text,
)
from lateen.kube.meta import Object, condition_true, parse_time


def _of(ready: tuple[str, ...], wanted: tuple[str, ...]) -> Column:
    return Column("Ready", lambda o, _: f"{dig(o, *ready) or 0}/{dig(o, *wanted) or 0}")


def _job_status(job: Object, _: datetime) -> str:
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if condition_true(job, kind):
            return word
    if dig(job, "metadata", "deletionTimestamp"):
        return "Terminating"
    for kind, word in (
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition_true(job, kind):
            return word
    return "Running"


def _completions(job: Object, _: datetime) -> str:
    done, wanted = dig(job, "status", "succeeded") or 0, dig(job, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallel = dig(job, "spec", "parallelism") or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _job_duration(job: Object, now: datetime) -> str:
    start, end = dig(job, "status", "startTime"), dig(job, "status", "completionTime")
    if not start:
        return ""
    return human_duration(((parse_time(end) if end else now) - parse_time(start)).total_seconds())


def _last_schedule(job: Object, now: datetime) -> str:
    last = dig(job, "status", "lastScheduleTime")
    return since(last, now) if last else NONE


def _cron_selector(job: Object, _: datetime) -> str:
    return selector_text(dig(job, "spec", "jobTemplate", "spec", "selector"))


def _owner(obj: Object, _: datetime) -> str:
    for ref in dig(obj, "metadata", "ownerReferences") or ():
        if ref.get("controller"):
            group = str(ref["apiVersion"]).partition("/")[0] if "/" in str(ref["apiVersion"]) else ""
            return f"{str(ref['kind']).lower()}{'.' + group if group else ''}/{ref['name']}"
    return NONE


def _reference(hpa: Object, _: datetime) -> str:
    ref = dig(hpa, "spec", "scaleTargetRef") or {}
    return f"{ref.get('kind', '')}/{ref.get('name', '')}"


def _targets(hpa: Object, _: datetime) -> str:
    current = dig(hpa, "status", "currentMetrics") or []
    found = [_target(spec, current[i] if i < len(current) else {}) for i, spec in enumerate(dig(hpa, "spec", "metrics") or ())]
    return ", ".join(found[:2]) + (f" + {len(found) - 2} more..." if len(found) > 2 else "") if found else NONE


def _target(spec: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    kind = str(spec.get("type", ""))
    key = kind[:1].lower() + kind[1:]
    wanted, now = dig(spec, key, "target") or {}, dig(current, key, "current") or {}
    label = f"{dig(spec, key, 'name')}: " if kind in ("Resource", "ContainerResource") else ""
    if wanted.get("averageUtilization") is not None:
        have = now.get("averageUtilization")
        return f"{label}{UNKNOWN if have is None else f'{have}%'}/{wanted['averageUtilization']}%"
    field = "averageValue" if wanted.get("averageValue") is not None else "value"
    suffix = " (avg)" if field == "averageValue" and kind in ("Object", "External") else ""
    return f"{label}{now.get(field) or UNKNOWN}/{wanted.get(field, '<auto>')}{suffix}"


def _replica_columns() -> tuple[Column, ...]:
    return (
        NAME,
        Column("Desired", number("spec", "replicas"), type="integer"),
        Column("Current", number("status", "replicas"), type="integer"),
        Column("Ready", number("status", "readyReplicas"), type="integer"),
        AGE,
        *containers(*TEMPLATE),
        SELECTOR,
    )


def _node_selector(ds: Object, _: datetime) -> str:
    return selector_text(dig(ds, *TEMPLATE, "nodeSelector") or None)


KINDS: Mapping[str, tuple[Column, ...]] = {
    "apps/deployments": (
        NAME,
        _of(("status", "readyReplicas"), ("spec", "replicas")),
        Column("Up-to-date", number("status", "updatedReplicas"), type="integer"),
        Column("Available", number("status", "availableReplicas"), type="integer"),
        AGE,
        *containers(*TEMPLATE),
        SELECTOR,
    ),
    "apps/replicasets": _replica_columns(),
    "apps/statefulsets": (NAME, _of(("status", "readyReplicas"), ("spec", "replicas")), AGE, *containers(*TEMPLATE)),
    "apps/daemonsets": (
        NAME,
        Column("Desired", number("status", "desiredNumberScheduled"), type="integer"),
        Column("Current", number("status", "currentNumberScheduled"), type="integer"),
        Column("Ready", number("status", "numberReady"), type="integer"),
        Column("Up-to-date", number("status", "updatedNumberScheduled"), type="integer"),
        Column("Available", number("status", "numberAvailable"), type="integer"),
        Column("Node Selector", _node_selector),
        AGE,
        *containers(*TEMPLATE),
        SELECTOR,
    ),
    "apps/controllerrevisions": (NAME, Column("Controller", _owner), Column("Revision", number("revision"), type="integer"), AGE),
    "batch/jobs": (
        NAME,
        Column("Status", _job_status),
        Column("Completions", _completions),
        Column("Duration", _job_duration),
        AGE,
        *containers(*TEMPLATE),
        SELECTOR,
    ),
    "batch/cronjobs": (
        NAME,
        Column("Schedule", at("spec", "schedule")),
        Column("Timezone", at("spec", "timeZone", default=NONE)),
        Column("Suspend", text("spec", "suspend", default="<unset>")),
        Column("Active", count("status", "active"), type="integer"),
        Column("Last Schedule", _last_schedule),
        AGE,
        *containers("spec", "jobTemplate", *TEMPLATE),
        Column("Selector", _cron_selector, priority=1),
    ),
    "autoscaling/horizontalpodautoscalers": (
        NAME,
        Column("Reference", _reference),
        Column("Targets", _targets),
        Column("MinPods", text("spec", "minReplicas", default="<unset>")),
        Column("MaxPods", number("spec", "maxReplicas"), type="string"),
        Column("Replicas", number("status", "currentReplicas"), type="string"),
        AGE,
    ),
    "policy/poddisruptionbudgets": (
        NAME,
        Column("Min Available", text("spec", "minAvailable", default="N/A")),
        Column("Max Unavailable", text("spec", "maxUnavailable", default="N/A")),
        Column("Allowed Disruptions", number("status", "disruptionsAllowed"), type="integer"),
        AGE,
    ),
}
