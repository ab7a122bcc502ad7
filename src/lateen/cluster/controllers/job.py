"""Jobs at work: reads the world, asks ``job_plan`` how the Job stands, does what follows. Follows kube-controller-manager."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lateen.aio.tasks import gather, outcomes
from lateen.cluster.controllers import job_plan as plan
from lateen.cluster.controllers.kit import BY_OWNER, Kit, owner_key, spec_of, status_of
from lateen.cluster.controllers.replicaset import namespace_terminating
from lateen.errors import ApiError, NotFoundError
from lateen.kube.meta import Key, Object, condition, controller_of, key_of, meta, parse_time, set_condition, timestamp, uid_of
from lateen.kube.resources import JOBS, PODS
from lateen.reconcile import DONE, Controller, Result, Source

BATCH = 500  # pods created, deleted or counted by one reconcile
MANAGER = "kubernetes.io/job-controller"
_UNCOUNTED = ("succeeded", "failed")


def controller(kit: Kit) -> Controller:
    """The controller, fed by Jobs and their pods."""
    kit = kit.named("job-controller")
    return Controller(
        name="job",
        reconciler=JobReconciler(kit),
        sources=[Source(informer=kit.informer(JOBS)), Source(informer=kit.owned(PODS), keys=owner_key("Job"), delay=0.01)],
        clock=kit.clock,
        workers=8,
    )


class JobReconciler:
    """One Job: its pods, what of them is counted, its end, and what comes after (TTL)."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._jobs, self._pods = kit.informer(JOBS), kit.owned(PODS)
        self._pods.add_index("job", _job_of)

    async def reconcile(self, key: Key) -> Result:
        job = self._jobs.get(key)
        if job is not None and spec_of(job).get("managedBy") not in (None, MANAGER):
            return DONE
        if job is None or meta(job).get("deletionTimestamp"):
            await self._let_go(self._pods.by_index("job", f"{key.namespace}/{key.name}"), job)
            return DONE
        await self._let_go(self._pods.by_index("job", f"{key.namespace}/{key.name}"), job, others=True)
        if finished(job):
            await self._let_go(self._pods.by_index(BY_OWNER, uid_of(job)), None)
            return await self._expire(job)
        status = started(job, status_of(job), self._kit)
        if status != status_of(job):
            job = await self._kit.client.update_status(JOBS, {**job, "status": status})
        return await self._advance(job)

    async def _advance(self, job: Object) -> Result:
        view = self._view(job)
        end = plan.verdict(view)
        wait, failure = await self._act(view, end)
        job = await self._count(job, end)
        view = self._view(job)
        end = end or plan.verdict(view)
        await self._settle(job, view, end)
        if failure is not None:
            raise failure
        left = plan.deadline_in(job, view.now)
        return Result(min((w for w in (wait, left) if w is not None and w > 0), default=None))

    def _view(self, job: Object) -> plan.View:
        return plan.View(job=job, pods=self._pods.by_index(BY_OWNER, uid_of(job)), now=self._kit.clock.now())

    # pods

    async def _act(self, view: plan.View, end: plan.Verdict | None) -> tuple[float | None, Exception | None]:
        """Delete what is too many (at the end: all, which counts as failed), make what is missing; the seconds until more may be
        made, and the first failure."""
        if end is not None:
            return None, self._first(await outcomes([self._delete(view.job, p) for p in view.active[:BATCH]]))
        extra = plan.surplus(view)[:BATCH]
        failure = self._first(await outcomes([self._drop(view.job, p) for p in extra]))
        count = min(plan.missing(view), BATCH)
        if failure is not None or not count:
            return None, failure
        if (pause := plan.backoff_in(view)) > 0:
            return pause, None
        slots, wait = plan.next_slots(view, count)
        return wait or None, await self._create_all(view.job, slots)

    async def _create_all(self, job: Object, slots: Sequence[plan.Slot]) -> Exception | None:
        """Slow start: 1, 2, 4, ... so that a template that is refused is refused a few times, not once per pod."""
        at, size = 0, 1
        while at < len(slots):
            part = slots[at : at + size]
            failure = self._first(await outcomes([self._create(job, slot) for slot in part]))
            if failure is not None:
                return failure
            at, size = at + size, size * 2
        return None

    async def _create(self, job: Object, slot: plan.Slot) -> None:
        try:
            pod = await self._kit.client.create(PODS, plan.new_pod(job, slot))
        except ApiError as error:
            if not namespace_terminating(error):
                self._kit.recorder.warning(job, "FailedCreate", f"Error creating: {error}")
            raise
        self._kit.recorder.normal(job, "SuccessfulCreate", f"Created pod: {meta(pod)['name']}")

    async def _drop(self, job: Object, pod: Object) -> None:
        """Delete a pod that is not needed; it does not count."""
        await self._release(pod)
        await self._delete(job, pod)

    async def _delete(self, job: Object, pod: Object) -> None:
        key = key_of(pod)
        try:
            await self._kit.client.delete(PODS, key.name, key.namespace, uid=uid_of(pod))
        except NotFoundError:
            return
        self._kit.recorder.normal(job, "SuccessfulDelete", f"Deleted pod: {key.name}")

    async def _let_go(self, pods: Iterable[Object], job: Object | None, *, others: bool = False) -> None:
        """Nobody counts these pods any more: nothing holds them. With ``job``, only its pods, or only the ``others``."""
        mine = [p for p in pods if plan.tracked(p) and (job is None or (_owner(p) == uid_of(job)) is not others)]
        await gather([self._release(p) for p in mine])

    async def _release(self, pod: Object) -> None:
        """Take the finalizer away."""
        if not plan.tracked(pod):
            return
        left = [f for f in meta(pod)["finalizers"] if f != plan.FINALIZER]
        patch = {"metadata": {"uid": uid_of(pod), "finalizers": left or None}}
        try:
            await self._kit.client.patch(PODS, meta(pod)["name"], patch, namespace=key_of(pod).namespace, kind="merge")
        except NotFoundError:
            return

    @staticmethod
    def _first(results: Sequence[object]) -> Exception | None:
        failures = [r for r in results if isinstance(r, Exception)]
        return next((f for f in failures if not (isinstance(f, ApiError) and namespace_terminating(f))), None)

    # counting

    async def _count(self, job: Object, end: plan.Verdict | None) -> Object:
        """Each pod that ended is counted once, whatever happens in between: note its uid, take its finalizer, raise the count."""
        view = self._view(job)
        failed, ignored = plan.countable(view)
        if end is not None:
            failed, ignored = view.failed, view.ignored
        fresh = {"succeeded": view.succeeded[:BATCH], "failed": failed[:BATCH]}
        status = with_uncounted(view, fresh)
        if status != status_of(job):
            job = await self._kit.client.update_status(JOBS, {**job, "status": status})
        noted = {u for k in _UNCOUNTED for u in (status_of(job).get("uncountedTerminatedPods") or {}).get(k) or ()}
        held = [p for p in self._view(job).pods if uid_of(p) in noted]
        await gather([self._release(p) for p in (*held, *ignored)])
        status = counted(status_of(job))
        return job if status == status_of(job) else await self._kit.client.update_status(JOBS, {**job, "status": status})

    async def _settle(self, job: Object, view: plan.View, end: plan.Verdict | None) -> None:
        """Write how the Job stands; close it when nothing of it runs any more."""
        status = standing(view)
        now = self._kit.clock.now()
        conditions = list(status.get("conditions") or ())
        events: list[tuple[str, str, bool]] = []
        if end is not None:
            said = {"status": "True", "reason": end.reason, "message": end.message, "lastProbeTime": timestamp(now)}
            if condition(conditions, end.target) is None:
                conditions = set_condition(conditions, {"type": end.target, **said}, now)
            if not view.active and not view.terminating and not view.succeeded and not view.failed:
                conditions = set_condition(conditions, {"type": end.final, **said}, now)
                complete = end.final == "Complete"
                status |= {"completionTime": timestamp(now)} if complete else {}
                events.append(("Completed", "Job completed", True) if complete else (end.reason, end.message, False))
        if conditions:
            status["conditions"] = conditions
        if status != status_of(job):
            await self._kit.client.update_status(JOBS, {**job, "status": status})
        for reason, message, normal in events:
            (self._kit.recorder.normal if normal else self._kit.recorder.warning)(job, reason, message)

    # afterwards

    async def _expire(self, job: Object) -> Result:
        """A finished Job goes ttlSecondsAfterFinished later, with its pods."""
        limit, ended = spec_of(job).get("ttlSecondsAfterFinished"), finished(job)
        if limit is None or ended is None:
            return DONE
        left = limit - (self._kit.clock.now() - parse_time(ended["lastTransitionTime"])).total_seconds()
        if left > 0:
            return Result(left)
        try:
            await self._kit.client.delete(JOBS, meta(job)["name"], key_of(job).namespace, uid=uid_of(job), propagation="Foreground")
        except NotFoundError:
            pass
        return DONE


def _job_of(pod: Object) -> tuple[str, ...]:
    ref = controller_of(pod)
    return (f"{key_of(pod).namespace}/{ref['name']}",) if ref and ref["kind"] == "Job" else ()


def _owner(pod: Object) -> str:
    return str((controller_of(pod) or {}).get("uid", ""))


def finished(job: Object) -> Any:
    """The condition that closed the Job, None while it is open."""
    found = (condition(status_of(job).get("conditions"), kind) for kind in ("Complete", "Failed"))
    return next((c for c in found if c is not None and c.get("status") == "True"), None)


def started(job: Object, status: dict[str, Any], kit: Kit) -> dict[str, Any]:
    """The status with its start time, and with the condition that says whether it is suspended."""
    now, held = kit.clock.now(), bool(spec_of(job).get("suspend"))
    known = condition(status.get("conditions"), "Suspended")
    was_held = known is not None and known.get("status") == "True"
    result = dict(status)
    if held != was_held and (held or known is not None):
        words = ("True", "JobSuspended", "Job suspended") if held else ("False", "JobResumed", "Job resumed")
        new = dict(zip(("status", "reason", "message"), words, strict=True))
        new["lastProbeTime"] = timestamp(now)
        result["conditions"] = set_condition(status.get("conditions"), {"type": "Suspended", **new}, now)
        kit.recorder.normal(job, "Suspended" if held else "Resumed", words[2])
    if held:
        result.pop("startTime", None)
    elif "startTime" not in result:
        result["startTime"] = timestamp(now)
    return result


def with_uncounted(view: plan.View, fresh: dict[str, list[Object]]) -> dict[str, Any]:
    """The status with the uids of ``fresh`` noted, and their indexes."""
    status = dict(status_of(view.job))
    before = status.get("uncountedTerminatedPods") or {}
    noted = {k: [*(before.get(k) or ()), *(uid_of(p) for p in fresh[k])] for k in _UNCOUNTED}
    if any(noted.values()):
        status["uncountedTerminatedPods"] = {k: v for k, v in noted.items() if v}
    if view.indexed and (done := plan.format_indexes(view.succeeded_indexes())):
        status["completedIndexes"] = done
    if view.per_index is not None:
        status["failedIndexes"] = plan.format_indexes(view.failed_indexes())
    return status


def counted(status: dict[str, Any]) -> dict[str, Any]:
    """The status once the finalizers of the noted pods are gone."""
    noted = status.get("uncountedTerminatedPods") or {}
    result = {**status, "uncountedTerminatedPods": {}}
    if noted.get("failed"):
        result["failed"] = int(status.get("failed") or 0) + len(noted["failed"])
    if "completedIndexes" in status:
        result["succeeded"] = len(plan.parse_indexes(status["completedIndexes"]))
    elif noted.get("succeeded"):
        result["succeeded"] = int(status.get("succeeded") or 0) + len(noted["succeeded"])
    return result


def standing(view: plan.View) -> dict[str, Any]:
    """The status with the counts of what runs."""
    status = {k: v for k, v in status_of(view.job).items() if k not in ("active", "ready", "terminating")}
    if view.active:
        status["active"] = len(view.active)
    return {**status, "ready": plan.ready_count(view.active), "terminating": len(view.terminating)}
