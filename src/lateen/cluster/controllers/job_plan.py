"""What a Job should do next. Pure: the Job and its pods in; how it stands, and what to do, out.

The rules are those of kube-controller-manager (job_controller.go, indexed_job_utils.go, pod_failure_policy.go, success_policy.go,
backoff_utils.go). A pod that ended is counted once: its uid goes into ``uncountedTerminatedPods``, then its finalizer goes, then
the count rises.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from lateen.cluster.controllers.kit import spec_of, status_of
from lateen.kube.meta import Object, annotations_of, condition, edit, key_of, meta, owner_reference, parse_time, uid_of

PREFIX = "batch.kubernetes.io/"
FINALIZER, INDEX = PREFIX + "job-tracking", PREFIX + "job-completion-index"
FAILURES, IGNORED = PREFIX + "job-index-failure-count", PREFIX + "job-index-ignored-failure-count"
FIRST_BACKOFF, MOST_BACKOFF = 10.0, 600.0  # seconds


class Verdict(NamedTuple):
    """How a Job ends: the condition that announces it, then the one that closes it; the reason and message of both."""

    target: str  # SuccessCriteriaMet or FailureTarget
    reason: str
    message: str

    @property
    def final(self) -> str:
        """``Complete`` or ``Failed``."""
        return "Complete" if self.target == "SuccessCriteriaMet" else "Failed"


@dataclass(slots=True, kw_only=True)
class View:
    """A Job and its pods, sorted by how they are."""

    job: Object
    pods: Sequence[Object]
    now: datetime
    active: list[Object] = field(default_factory=list)
    terminating: list[Object] = field(default_factory=list)
    succeeded: list[Object] = field(default_factory=list)  # those that are not counted in the status yet
    failed: list[Object] = field(default_factory=list)
    ignored: list[Object] = field(default_factory=list)  # failed, and the failure policy says that it does not count

    def __post_init__(self) -> None:
        only_failed = spec_of(self.job).get("podReplacementPolicy") == "Failed"
        uncounted = status_of(self.job).get("uncountedTerminatedPods") or {}
        known = {*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ())}
        for pod in self.pods:
            phase, leaving = status_of(pod).get("phase"), bool(meta(pod).get("deletionTimestamp"))
            if leaving and phase not in ("Succeeded", "Failed"):
                self.terminating.append(pod)
            if phase not in ("Succeeded", "Failed") and not leaving:
                self.active.append(pod)
            elif not tracked(pod) or uid_of(pod) in known:
                continue
            elif phase == "Succeeded":
                self.succeeded.append(pod)
            elif phase == "Failed" or (leaving and not only_failed):
                rule = failure_rule(self.job, pod)
                (self.ignored if rule is not None and rule.action == "Ignore" else self.failed).append(pod)

    @property
    def indexed(self) -> bool:
        return bool(spec_of(self.job).get("completionMode") == "Indexed")

    @property
    def per_index(self) -> int | None:
        limit = spec_of(self.job).get("backoffLimitPerIndex")
        return None if limit is None else int(limit)

    @property
    def completions(self) -> int | None:
        wanted = spec_of(self.job).get("completions")
        return None if wanted is None else int(wanted)

    def succeeded_indexes(self) -> set[int]:
        """Those in the status, and those of pods that are not counted yet."""
        found = parse_indexes(status_of(self.job).get("completedIndexes") or "")
        return {i for i in found | {index_of(p) for p in self.pods if _done(p)} if 0 <= i < (self.completions or 0)}

    def failed_indexes(self) -> set[int]:
        """Indexes that had one failure too many, or that the policy failed."""
        if self.per_index is None:
            return set()
        found = parse_indexes(status_of(self.job).get("failedIndexes") or "")
        return found | {index_of(p) for p in (*self.failed, *self.ignored) if self._index_failed(p)} - self.succeeded_indexes()

    def _index_failed(self, pod: Object) -> bool:
        rule = failure_rule(self.job, pod)
        if rule is not None and rule.action == "FailIndex":
            return True
        counts = rule is None or rule.action != "Ignore"
        return counts and self.per_index is not None and failures_of(pod) >= self.per_index

    def total_succeeded(self) -> int:
        """How many succeeded (non-indexed), or how many indexes did."""
        if self.indexed:
            return len(self.succeeded_indexes())
        uncounted = (status_of(self.job).get("uncountedTerminatedPods") or {}).get("succeeded") or ()
        return int(status_of(self.job).get("succeeded") or 0) + len(uncounted) + len(self.succeeded)

    def total_failed(self) -> int:
        """How many pods failed, as far as failures count."""
        uncounted = (status_of(self.job).get("uncountedTerminatedPods") or {}).get("failed") or ()
        return int(status_of(self.job).get("failed") or 0) + len(uncounted) + len(self.failed)


def tracked(pod: Object) -> bool:
    """Whether the pod is held until it is counted."""
    return FINALIZER in (meta(pod).get("finalizers") or ())


def _done(pod: Object) -> bool:
    return status_of(pod).get("phase") == "Succeeded"


def index_of(pod: Object) -> int:
    """The completion index; -1 if it has none."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() else -1


def failures_of(pod: Object) -> int:
    """How often its index had failed before it."""
    text = annotations_of(pod).get(FAILURES, "0")
    return int(text) if text.isdigit() else 0


# How it ends


class Rule(NamedTuple):
    """The rule of the pod failure policy that a pod matched."""

    action: str
    message: str


def failure_rule(job: Object, pod: Object) -> Rule | None:
    """The first rule that the failed pod matches."""
    for number, rule in enumerate((spec_of(job).get("podFailurePolicy") or {}).get("rules") or ()):
        said = _matched_exit(rule.get("onExitCodes"), pod) or _matched_condition(rule.get("onPodConditions"), pod)
        if said:
            return Rule(rule["action"], f"{said} matching {rule['action']} rule at index {number}")
    return None


def _matched_exit(wanted: Mapping[str, Any] | None, pod: Object) -> str:
    if not wanted or status_of(pod).get("phase") != "Failed":
        return ""
    for found in (*(status_of(pod).get("initContainerStatuses") or ()), *(status_of(pod).get("containerStatuses") or ())):
        code = ((found.get("state") or {}).get("terminated") or {}).get("exitCode")
        if not code or wanted.get("containerName") not in (None, found.get("name")):
            continue
        if (code in wanted["values"]) == (wanted["operator"] == "In"):
            return f"Container {found.get('name')} for pod {_name(pod)} failed with exit code {code}"
    return ""


def _name(pod: Object) -> str:
    return f"{key_of(pod).namespace}/{meta(pod)['name']}"


def _matched_condition(wanted: Sequence[Mapping[str, Any]] | None, pod: Object) -> str:
    for pattern in wanted or ():
        found = condition(status_of(pod).get("conditions"), pattern["type"])
        if found is not None and found.get("status") == pattern.get("status", "True"):
            return f"Pod {_name(pod)} has condition {pattern['type']}"
    return ""


def verdict(view: View) -> Verdict | None:
    """How the Job ends, if it does now; what was announced stands."""
    job, spec = view.job, spec_of(view.job)
    for kind in ("SuccessCriteriaMet", "FailureTarget"):
        found = condition(status_of(job).get("conditions"), kind)
        if found is not None and found.get("status") == "True":
            return Verdict(kind, found.get("reason") or "", found.get("message") or "")
    for pod in view.failed:
        rule = failure_rule(job, pod)
        if rule is not None and rule.action == "FailJob":
            return _fails("PodFailurePolicy", rule.message)
    if view.total_failed() > spec.get("backoffLimit", 6) or _restarted_too_often(view):
        return _fails("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if (left := deadline_in(job, view.now)) is not None and left <= 0:
        return _fails("DeadlineExceeded", "Job was active longer than specified deadline")
    if view.indexed and (said := _met(view)):
        return Verdict("SuccessCriteriaMet", "SuccessPolicy", said)
    if view.per_index is not None and (ended := _indexes_failed(view)) is not None:
        return ended
    return _complete(view)


def _fails(reason: str, message: str) -> Verdict:
    return Verdict("FailureTarget", reason, message)


def _restarted_too_often(view: View) -> bool:
    """With restartPolicy OnFailure, restarts inside of pods count."""
    if spec_of(view.job)["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    statuses = (s for p in view.active for k in ("initContainerStatuses", "containerStatuses") for s in status_of(p).get(k) or ())
    restarts, limit = sum(s.get("restartCount") or 0 for s in statuses), spec_of(view.job).get("backoffLimit", 6)
    return restarts > 0 if limit == 0 else restarts >= limit


def _met(view: View) -> str:
    """Which rule of the success policy is met."""
    done = view.succeeded_indexes()
    for number, rule in enumerate((spec_of(view.job).get("successPolicy") or {}).get("rules") or ()):
        wanted = parse_indexes(rule["succeededIndexes"]) if rule.get("succeededIndexes") else None
        counted = done if wanted is None else done & wanted
        enough = rule.get("succeededCount")
        if (enough is not None and len(counted) >= enough) or (enough is None and wanted is not None and wanted <= done):
            return f"Matched rules at index {number}"
    return ""


def _indexes_failed(view: View) -> Verdict | None:
    failed, most = view.failed_indexes(), spec_of(view.job).get("maxFailedIndexes")
    if most is not None and len(failed) > most:
        return _fails("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    if failed and view.completions is not None and len(failed | view.succeeded_indexes()) >= view.completions:
        return _fails("FailedIndexes", "Job has failed indexes")
    return None


def _complete(view: View) -> Verdict | None:
    succeeded = view.total_succeeded()
    wanted = view.completions
    if not (succeeded > 0 and not view.active if wanted is None else succeeded >= wanted):
        return None
    return Verdict("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")


def deadline_in(job: Object, now: datetime) -> float | None:
    """Seconds until activeDeadlineSeconds is over; None without one."""
    limit, began = spec_of(job).get("activeDeadlineSeconds"), status_of(job).get("startTime")
    if limit is None or not began or spec_of(job).get("suspend"):
        return None
    return float(limit - (now - parse_time(began)).total_seconds())


# What to do


def wanted_active(view: View) -> int:
    """How many pods should be active."""
    if spec_of(view.job).get("suspend"):
        return 0
    parallelism, succeeded = int(spec_of(view.job).get("parallelism", 1)), view.total_succeeded()
    if view.completions is None:
        return len(view.active) if succeeded else parallelism
    left = view.completions - succeeded - len(view.failed_indexes())
    return max(0, min(parallelism, left))


def surplus(view: View) -> list[Object]:
    """The active pods that are too many; first those that have not started, and with indexes those that are done or doubled."""
    keep: list[Object] = []
    extra: list[Object] = []
    seen: set[int] = set()
    closed = view.succeeded_indexes() | view.failed_indexes() if view.indexed else set()
    order = sorted(view.active, key=lambda p: (status_of(p).get("phase") != "Running", index_of(p), meta(p)["name"]))
    for pod in order:
        number = index_of(pod)
        wrong = view.indexed and (number in closed or number in seen or not 0 <= number < (view.completions or 0))
        (extra if wrong or len(keep) >= wanted_active(view) else keep).append(pod)
        seen.add(number)
    return extra


def missing(view: View) -> int:
    """How many pods to make now, back-off apart."""
    waits = len(view.terminating) if spec_of(view.job).get("podReplacementPolicy") == "Failed" else 0
    return max(0, wanted_active(view) - len(view.active) - waits)


def backoff_in(view: View) -> float:
    """Seconds until the next pod may be made: 10 s after a failure, twice as long after each more in a row, at most 10 minutes."""
    if view.per_index is not None:
        return 0.0  # each index has its own
    last = max((finished_at(p, view.now) for p in view.pods if _done(p)), default=None)
    times = [finished_at(p, view.now) for p in view.pods if status_of(p).get("phase") == "Failed"]
    times = [t for t in times if last is None or t > last]
    return _left(len(times), max(times, default=view.now), view.now)


def _left(failures: int, last: datetime, now: datetime) -> float:
    if not failures:
        return 0.0
    pause = min(MOST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
    return max(0.0, pause - (now - last).total_seconds())


def finished_at(pod: Object, now: datetime) -> datetime:
    """When its last container ended; when it was deleted, or became not ready, if that is not known."""
    ended = [
        t
        for s in status_of(pod).get("containerStatuses") or ()
        if (t := ((s.get("state") or {}).get("terminated") or {}).get("finishedAt"))
    ]
    found = condition(status_of(pod).get("conditions"), "Ready")
    text = max(ended, default=None) or meta(pod).get("deletionTimestamp") or (found or {}).get("lastTransitionTime")
    return parse_time(text) if text else now


@dataclass(frozen=True, slots=True)
class Slot:
    """A pod to make: its index (-1 without), how often that failed before, and how often without being counted."""

    index: int
    failures: int = 0
    ignored: int = 0


def next_slots(view: View, count: int) -> tuple[list[Slot], float]:
    """The pods to make now, at most ``count``, and the seconds until others may be made."""
    if not view.indexed:
        return [Slot(-1)] * count, 0.0
    closed = view.succeeded_indexes() | view.failed_indexes() | {index_of(p) for p in view.active}
    if spec_of(view.job).get("podReplacementPolicy") == "Failed":
        closed |= {index_of(p) for p in view.terminating}
    slots: list[Slot] = []
    wait = 0.0
    for number in range(view.completions or 0):
        if len(slots) >= count:
            break
        if number in closed:
            continue
        slot, left = _slot(view, number)
        if left > 0:
            wait = min(wait, left) if wait else left
        else:
            slots.append(slot)
    return slots, wait


def _slot(view: View, number: int) -> tuple[Slot, float]:
    if view.per_index is None:
        return Slot(number), 0.0
    before = max((p for p in (*view.failed, *view.ignored) if index_of(p) == number), key=failures_of, default=None)
    if before is None:
        return Slot(number), 0.0
    rule = failure_rule(view.job, before)
    ignore = rule is not None and rule.action == "Ignore"
    text = annotations_of(before).get(IGNORED, "0")
    slot = Slot(number, failures_of(before) + (not ignore), int(text) + ignore)
    return slot, _left(slot.failures + slot.ignored, finished_at(before, view.now), view.now)


def countable(view: View) -> tuple[list[Object], list[Object]]:
    """The failed pods that are to be counted now, and those to be let go without. With a limit per index, the last failed pod of an
    index waits for its successor, which learns from it how often the index failed."""
    if view.per_index is None:
        return view.failed, view.ignored
    closed = view.succeeded_indexes() | view.failed_indexes()
    newest: dict[int, int] = {}
    for pod in (*view.active, *view.failed, *view.ignored):
        newest[index_of(pod)] = max(newest.get(index_of(pod), -1), _attempts(pod))

    def settled(pod: Object) -> bool:
        return index_of(pod) in closed or _attempts(pod) < newest[index_of(pod)]

    return list(filter(settled, view.failed)), list(filter(settled, view.ignored))


def _attempts(pod: Object) -> int:
    text = annotations_of(pod).get(IGNORED, "0")
    return failures_of(pod) + (int(text) if text.isdigit() else 0)


def new_pod(job: Object, slot: Slot) -> Object:
    """A pod of the Job's template; with an index, it knows which."""
    template = edit(spec_of(job)["template"])
    m, spec, name = meta(template), template["spec"], meta(job)["name"]
    labels, notes, base = dict(m.get("labels") or {}), dict(m.get("annotations") or {}), name
    if slot.index >= 0:
        labels[INDEX] = notes[INDEX] = str(slot.index)
        if spec_of(job).get("backoffLimitPerIndex") is not None:
            notes[FAILURES] = str(slot.failures)
            notes |= {IGNORED: str(slot.ignored)} if slot.ignored else {}
        spec.setdefault("hostname", f"{name}-{slot.index}")
        base = f"{name}-{slot.index}"
        field_ref = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
        for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
            variables = container.get("env") or []
            if not any(v["name"] == "JOB_COMPLETION_INDEX" for v in variables):
                container["env"] = [*variables, {"name": "JOB_COMPLETION_INDEX", "valueFrom": field_ref}]
    metadata: dict[str, Any] = {"generateName": f"{base[:57]}-", "namespace": key_of(job).namespace, "labels": labels}
    metadata |= {"annotations": notes} if notes else {}
    metadata["finalizers"] = [*(m.get("finalizers") or ()), FINALIZER]
    metadata["ownerReferences"] = [owner_reference(job)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


# indexes as text


def parse_indexes(text: str) -> set[int]:
    """``1,3-5`` is 1, 3, 4, 5."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Collection[int]) -> str:
    """The other way."""
    runs: list[list[int]] = []
    for number in sorted(indexes):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(_run(first, last) for first, last in runs)


def _run(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def ready_count(pods: Iterable[Object]) -> int:
    """How many are Ready."""
    return sum((condition(status_of(p).get("conditions"), "Ready") or {}).get("status") == "True" for p in pods)
