"""CronJobs: a Job for each moment of a schedule. Follows kube-controller-manager (cronjob_controllerv2.go, utils.go).

The pure part, ``due``, says which moment is due and when the next one is; the rest makes, replaces and clears away Jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lateen.cluster.controllers.job import finished
from lateen.cluster.controllers.kit import BY_OWNER, Kit, owner_key, spec_of, status_of
from lateen.errors import AlreadyExistsError, ApiError, InputError, NotFoundError
from lateen.kube import cron
from lateen.kube.meta import Key, Object, edit, key_of, meta, owner_reference, parse_time, timestamp, uid_of
from lateen.kube.resources import CRONJOBS, JOBS
from lateen.reconcile import DONE, Controller, Result, Source

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MANY = 100  # missed moments that are told about
_SLACK = 0.1  # seconds: to look again a moment too late is better than a moment too early


def controller(kit: Kit) -> Controller:
    """The controller, fed by CronJobs and their Jobs."""
    kit = kit.named("cronjob-controller")
    return Controller(
        name="cronjob",
        reconciler=CronJobReconciler(kit),
        sources=[Source(informer=kit.informer(CRONJOBS)), Source(informer=kit.owned(JOBS), keys=owner_key("CronJob"))],
        clock=kit.clock,
    )


@dataclass(frozen=True, slots=True)
class Due:
    """``moment``: the latest that was not served, None if none is due; ``missed``: how many there were; ``next``: seconds to go."""

    moment: datetime | None
    missed: int
    next: float


def due(cron_job: Object, now: datetime) -> Due:
    """Which moment of the schedule is due. InputError for a schedule or a time zone that cannot be read."""
    spec, status = spec_of(cron_job), status_of(cron_job)
    zone = cron.zone(spec.get("timeZone"))
    since = parse_time(status.get("lastScheduleTime") or meta(cron_job)["creationTimestamp"])
    if (deadline := spec.get("startingDeadlineSeconds")) is not None:
        since = max(since, now - timedelta(seconds=deadline))
    latest, missed = None, 0
    for moment in cron.moments(spec["schedule"], since.astimezone(zone)):
        if moment > now:
            return Due(latest, missed, (moment - now).total_seconds() + _SLACK)
        latest, missed = moment, missed + 1
        if missed > _MANY:
            return _latest(spec["schedule"], now, latest, missed)
    return Due(latest, missed, 86400.0)


def _latest(schedule: str, now: datetime, known: datetime, missed: int) -> Due:
    """After very many missed moments: look back from now, further and further, instead of counting them all."""
    for hours in (1, 24, 24 * 32, 24 * 366):
        start = max(known, now - timedelta(hours=hours)).astimezone(known.tzinfo)
        latest: datetime | None = None
        for moment in cron.moments(schedule, start):
            if moment > now:
                if latest is None:
                    break
                return Due(latest, missed, (moment - now).total_seconds() + _SLACK)
            latest = moment
    return Due(known, missed, 1.0)


def new_job(cron_job: Object, moment: datetime) -> Object:
    """The Job of a moment: its name tells it, so that there is never a second one."""
    template = edit(spec_of(cron_job)["jobTemplate"])
    m, name = meta(template) if template.get("metadata") else {}, meta(cron_job)["name"]
    metadata: dict[str, Any] = {"name": f"{name}-{int(moment.timestamp() // 60)}", "namespace": key_of(cron_job).namespace}
    metadata |= {"labels": m["labels"]} if m.get("labels") else {}
    metadata["annotations"] = {**(m.get("annotations") or {}), SCHEDULED: moment.isoformat().replace("+00:00", "Z")}
    metadata["ownerReferences"] = [owner_reference(cron_job)]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def beyond_history(cron_job: Object, jobs: Iterable[Object]) -> list[Object]:
    """The finished Jobs that the history limits do not keep, oldest first."""
    found: list[Object] = []
    ended = sorted((j for j in jobs if finished(j)), key=_began)
    for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        keep = spec_of(cron_job).get(limit)
        mine = [j for j in ended if finished(j)["type"] == kind]
        found += mine[: max(0, len(mine) - keep)] if keep is not None else []
    return found


def _began(job: Object) -> tuple[str, str]:
    return (status_of(job).get("startTime") or meta(job).get("creationTimestamp") or "", meta(job)["name"])


class CronJobReconciler:
    """One CronJob: what its Jobs became, then the moment that is due."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._crons, self._jobs = kit.informer(CRONJOBS), kit.owned(JOBS)

    async def reconcile(self, key: Key) -> Result:
        cron_job = self._crons.get(key)
        if cron_job is None or meta(cron_job).get("deletionTimestamp"):
            return DONE
        jobs = self._jobs.by_index(BY_OWNER, uid_of(cron_job))
        await self._clear(cron_job, jobs)
        cron_job = await self._write(cron_job, self._followed(cron_job, jobs))
        if spec_of(cron_job).get("suspend"):
            return DONE
        try:
            found = due(cron_job, self._kit.clock.now())
        except InputError as error:
            self._kit.recorder.warning(cron_job, "UnparseableSchedule", f"unparseable schedule: {error.message}")
            return DONE
        if found.moment is not None:
            await self._serve(cron_job, found, found.moment)
        return Result(found.next)

    def _followed(self, cron_job: Object, jobs: Sequence[Object]) -> dict[str, Any]:
        """The status after what became of the Jobs; what ended, or went missing, is told."""
        status, known = dict(status_of(cron_job)), {uid_of(j): j for j in jobs}
        active = []
        for ref in status.get("active") or ():
            job = known.get(ref["uid"])
            if job is None:
                self._kit.recorder.normal(cron_job, "MissingJob", f"Active job went missing: {ref['name']}")
            elif ended := finished(job):
                text = f"Saw completed job: {ref['name']}, condition: {ended['type']}"
                self._kit.recorder.normal(cron_job, "SawCompletedJob", text)
            else:
                active.append(ref)
        done = max((t for j in jobs if (t := status_of(j).get("completionTime"))), default="")
        if done > (status.get("lastSuccessfulTime") or ""):
            status["lastSuccessfulTime"] = done
        return {k: v for k, v in (status | {"active": active}).items() if v}

    async def _serve(self, cron_job: Object, found: Due, moment: datetime) -> None:
        """Make the Job of the moment, as far as the policy allows."""
        if found.missed > _MANY:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._kit.recorder.warning(cron_job, "TooManyMissedTimes", text)
        policy, active = spec_of(cron_job).get("concurrencyPolicy"), status_of(cron_job).get("active") or []
        if policy == "Forbid" and active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._kit.recorder.normal(cron_job, "JobAlreadyActive", text)
            return
        if policy == "Replace":
            for ref in active:
                await self._delete(cron_job, ref["name"])
            active = []
        job = await self._create(cron_job, moment)
        if job is None:
            return
        ref = {"apiVersion": "batch/v1", "kind": "Job", "name": meta(job)["name"], "namespace": meta(job)["namespace"]}
        ref |= {"uid": uid_of(job), "resourceVersion": meta(job)["resourceVersion"]}
        status = {**status_of(cron_job), "active": [*active, ref], "lastScheduleTime": timestamp(moment.astimezone(UTC))}
        await self._write(cron_job, status)

    async def _create(self, cron_job: Object, moment: datetime) -> Object | None:
        wanted = new_job(cron_job, moment)
        try:
            job = await self._kit.client.create(JOBS, wanted)
        except AlreadyExistsError:
            known = self._jobs.get(key_of(wanted))
            return known if known is not None and uid_of(cron_job) in _owners(known) else None
        except ApiError as error:
            self._kit.recorder.warning(cron_job, "FailedCreate", f"Error creating job: {error}")
            raise
        self._kit.recorder.normal(cron_job, "SuccessfulCreate", f"Created job {meta(job)['name']}")
        return job

    async def _clear(self, cron_job: Object, jobs: Sequence[Object]) -> None:
        for job in beyond_history(cron_job, jobs):
            await self._delete(cron_job, meta(job)["name"])

    async def _delete(self, cron_job: Object, name: str) -> None:
        try:
            await self._kit.client.delete(JOBS, name, key_of(cron_job).namespace, propagation="Background")
        except NotFoundError:
            return
        self._kit.recorder.normal(cron_job, "SuccessfulDelete", f"Deleted job {name}")

    async def _write(self, cron_job: Object, status: dict[str, Any]) -> Object:
        if status == status_of(cron_job):
            return cron_job
        return await self._kit.client.update_status(CRONJOBS, {**cron_job, "status": status})


def _owners(obj: Object) -> set[str]:
    return {r["uid"] for r in meta(obj).get("ownerReferences") or ()}
