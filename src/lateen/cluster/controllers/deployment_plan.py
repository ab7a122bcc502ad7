"""What a Deployment should do next. Pure: objects in, sizes and status out.

The algorithms are those of kube-controller-manager's deployment controller (rolling.go, sync.go, progress.go, deployment_util.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from lateen.cluster.controllers.kit import spec_of, status_of
from lateen.kube.intstr import scaled
from lateen.kube.meta import Object, annotations_of, condition, edit, key_of, meta, owner_reference, parse_time, timestamp, uid_of
from lateen.kube.names import safe_encode

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset({REVISION, HISTORY, DESIRED, MAX, "kubectl.kubernetes.io/last-applied-configuration"})


def wanted_of(deployment: Object) -> int:
    """``spec.replicas``."""
    replicas: int = spec_of(deployment).get("replicas", 1)
    return replicas


def bounds(deployment: Object) -> tuple[int, int]:
    """(surge, unavailable) as counts; if both are 0, one may be unavailable."""
    strategy = spec_of(deployment).get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0, 0
    rolling_update = strategy.get("rollingUpdate") or {}
    wanted = wanted_of(deployment)
    surge = scaled(rolling_update.get("maxSurge", "25%"), wanted, round_up=True)
    unavailable = scaled(rolling_update.get("maxUnavailable", "25%"), wanted, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted)


def template_hash(deployment: Object) -> str:
    """A short name for the template (and the collision count); equal templates have equal names."""
    text = orjson.dumps(spec_of(deployment)["template"], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(text + str(status_of(deployment).get("collisionCount") or "").encode()).digest()
    return safe_encode(digest)


def set_name(deployment: Object) -> str:
    """The name of the current template's ReplicaSet."""
    return f"{meta(deployment)['name'][:242]}-{template_hash(deployment)}"


def _bare(template: Object) -> Object:
    """A template without its hash label."""
    if HASH not in (meta(template).get("labels") or {}):
        return template
    labels = {k: v for k, v in meta(template)["labels"].items() if k != HASH}
    return {**template, "metadata": {**meta(template), "labels": labels}}


def find_new(deployment: Object, sets: Iterable[Object]) -> Object | None:
    """The oldest ReplicaSet whose template is the Deployment's."""
    template = spec_of(deployment)["template"]
    found = [s for s in sets if _bare(spec_of(s)["template"]) == template]
    return min(found, key=lambda s: (meta(s).get("creationTimestamp") or "", meta(s)["name"]), default=None)


def old_sets(sets: Iterable[Object], new: Object | None) -> list[Object]:
    """All but the new one."""
    return [s for s in sets if new is None or uid_of(s) != uid_of(new)]


def revision_of(obj: Object) -> int:
    """The revision annotation, 0 if there is none."""
    text = annotations_of(obj).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def max_revision(sets: Iterable[Object]) -> int:
    """The highest revision among ``sets``."""
    return max(map(revision_of, sets), default=0)


def annotations_for(deployment: Object, replica_set: Object, revision: str) -> dict[str, str]:
    """The annotations that the current ReplicaSet should have: the Deployment's, and its revision; a revision never falls."""
    old = dict(annotations_of(replica_set))
    copied = {k: v for k, v in annotations_of(deployment).items() if k not in _NOT_COPIED}
    result = old | copied
    if revision_of(replica_set) < int(revision):
        if old.get(REVISION):
            history = [r for r in old.get(HISTORY, "").split(",") if r]
            result[HISTORY] = ",".join([*history, old[REVISION]])
        result[REVISION] = revision
    return result | size_annotations(deployment)


def size_annotations(deployment: Object) -> dict[str, str]:
    """What the ReplicaSet remembers of the Deployment's size: a difference later means that the Deployment was scaled."""
    surge, _ = bounds(deployment)
    return {DESIRED: str(wanted_of(deployment)), MAX: str(wanted_of(deployment) + surge)}


def new_set(deployment: Object, sets: Sequence[Object], revision: str) -> Object:
    """The ReplicaSet of the current template, at its first size."""
    name = template_hash(deployment)
    template = edit(spec_of(deployment)["template"])
    labels = {**(meta(template).get("labels") or {}), HASH: name}
    template["metadata"] = {**meta(template), "labels": labels}
    selector = edit(spec_of(deployment)["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: name}
    copied = {k: v for k, v in annotations_of(deployment).items() if k not in _NOT_COPIED}
    spec: dict[str, Any] = {"replicas": first_size(deployment, sets), "selector": selector, "template": template}
    if spec_of(deployment).get("minReadySeconds"):
        spec["minReadySeconds"] = spec_of(deployment)["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": set_name(deployment),
            "namespace": key_of(deployment).namespace,
            "labels": labels,
            "annotations": copied | {REVISION: revision} | size_annotations(deployment),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": spec,
    }


def first_size(deployment: Object, sets: Sequence[Object]) -> int:
    """How large a new ReplicaSet may start, within the surge."""
    wanted = wanted_of(deployment)
    if (spec_of(deployment).get("strategy") or {}).get("type") == "Recreate":
        return wanted
    room: int = wanted + bounds(deployment)[0] - sum(spec_of(s).get("replicas", 1) for s in sets)
    return max(0, min(room, wanted))


def rolling(deployment: Object, new: Object, old: Sequence[Object]) -> dict[str, int]:
    """Sizes by UID for the next step of a rolling update: the new one up within the surge, else old ones down."""
    wanted, (surge, unavailable) = wanted_of(deployment), bounds(deployment)
    size = spec_of(new).get("replicas", 1)
    total = size + sum(spec_of(s).get("replicas", 1) for s in old)
    if size > wanted:
        return {uid_of(new): wanted}
    grown = size + max(0, min(wanted + surge - total, wanted - size))
    sizes: dict[str, int] = {uid_of(new): grown}
    if grown != size:
        return sizes
    return sizes | _shrink(new, old, size, total, wanted - unavailable)


def _shrink(new: Object, old: Sequence[Object], size: int, total: int, least: int) -> dict[str, int]:
    """Old ones down: first pods that are not available anyway, then as many as the available ones allow."""
    unavailable_new = size - status_of(new).get("availableReplicas", 0)
    room = total - least - unavailable_new
    if room <= 0:
        return {}
    sizes: dict[str, int] = {}
    ordered = sorted(old, key=lambda s: (meta(s).get("creationTimestamp") or "", meta(s)["name"]))
    for s in ordered:
        current = spec_of(s).get("replicas", 1)
        broken = current - status_of(s).get("availableReplicas", 0)
        take = max(0, min(room, broken))
        if current and take:
            sizes[uid_of(s)] = current - take
            room -= take
    # A status may lag behind a set that was made smaller already: what is on its way out is not available.
    available = sum(min(status_of(s).get("availableReplicas", 0), spec_of(s).get("replicas", 1)) for s in (new, *old))
    spare = available - least
    for s in ordered:
        current = sizes.get(uid_of(s), spec_of(s).get("replicas", 1))
        take = max(0, min(current, spare))
        if take:
            sizes[uid_of(s)] = current - take
            spare -= take
    return sizes


def is_scaling(deployment: Object, sets: Iterable[Object]) -> bool:
    """Whether ``spec.replicas`` changed since the active ReplicaSets were sized."""
    active = [s for s in sets if spec_of(s).get("replicas", 1) > 0]
    remembered = [annotations_of(s).get(DESIRED) for s in active]
    return any(r is not None and r != str(wanted_of(deployment)) for r in remembered)


def proportional(deployment: Object, sets: Sequence[Object]) -> dict[str, int]:
    """Sizes by UID after a change of ``spec.replicas`` (or while paused): the change is shared in proportion to size."""
    active = [s for s in sets if spec_of(s).get("replicas", 1) > 0]
    new, wanted = find_new(deployment, sets), wanted_of(deployment)
    if len(active) <= 1:
        latest = active[0] if active else new or max(sets, key=revision_of, default=None)
        return {uid_of(latest): wanted} if latest is not None else {}
    if new is not None and _saturated(new, wanted):
        return {uid_of(s): 0 for s in active if uid_of(s) != uid_of(new)}
    if (spec_of(deployment).get("strategy") or {}).get("type") == "Recreate":
        return {}
    return _shared_out(deployment, active, wanted)


def _saturated(new: Object, wanted: int) -> bool:
    sized, remembered = spec_of(new).get("replicas", 1), annotations_of(new).get(DESIRED)
    return status_of(new).get("availableReplicas", 0) == wanted == sized and remembered == str(wanted)


def _shared_out(deployment: Object, active: Sequence[Object], wanted: int) -> dict[str, int]:
    allowed = wanted + bounds(deployment)[0] if wanted else 0
    change = allowed - sum(spec_of(s).get("replicas", 1) for s in active)
    # Larger ones first; among equals the newest first when growing, the oldest first when shrinking.
    ordered = sorted(active, key=lambda s: meta(s).get("creationTimestamp") or "", reverse=change > 0)
    ordered.sort(key=lambda s: spec_of(s).get("replicas", 1), reverse=True)
    sizes: dict[str, int] = {}
    given = 0
    for s in ordered:
        share = 0 if change == 0 else _share(s, change, change - given, allowed)
        given += share
        sizes[uid_of(s)] = max(0, spec_of(s).get("replicas", 1) + share)
    if ordered and change != given:
        first = uid_of(ordered[0])
        sizes[first] = max(0, sizes[first] + change - given)
    return sizes


def _share(replica_set: Object, change: int, left: int, allowed: int) -> int:
    size = spec_of(replica_set).get("replicas", 1)
    before = int(annotations_of(replica_set).get(MAX) or 0) or allowed - change
    share = round(size * allowed / before) - size if before else change
    return min(share, left) if change > 0 else max(share, left)


def beyond_history(deployment: Object, sets: Sequence[Object]) -> list[Object]:
    """Old, empty ReplicaSets beyond ``revisionHistoryLimit``, oldest revision first."""
    limit = spec_of(deployment).get("revisionHistoryLimit", 10)
    idle = [
        s
        for s in old_sets(sets, find_new(deployment, sets))
        if not meta(s).get("deletionTimestamp")
        and spec_of(s).get("replicas", 1) == 0
        and status_of(s).get("replicas", 0) == 0
        and meta(s).get("generation", 0) <= status_of(s).get("observedGeneration", 0)
    ]
    idle.sort(key=revision_of)
    return idle[: max(0, len(idle) - limit)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The counts of a Deployment's status."""

    replicas: int
    updated: int
    ready: int
    available: int


def totals(deployment: Object, sets: Sequence[Object]) -> Totals:
    """Counts over all ReplicaSets."""
    new = find_new(deployment, sets)

    def total(field: str) -> int:
        return sum(status_of(s).get(field, 0) for s in sets)

    return Totals(
        replicas=total("replicas"),
        updated=status_of(new).get("replicas", 0) if new else 0,
        ready=total("readyReplicas"),
        available=total("availableReplicas"),
    )


def complete(deployment: Object, counts: Totals) -> bool:
    """Everything is updated and available, and nothing old is left."""
    wanted = wanted_of(deployment)
    return counts.updated == counts.replicas == counts.available == wanted


def counted_status(deployment: Object, sets: Sequence[Object], now: datetime) -> dict[str, Any]:
    """The status after scaling or while paused: counts and Available; progress is not judged."""
    counts, old = totals(deployment, sets), status_of(deployment)
    status: dict[str, Any] = {
        "observedGeneration": meta(deployment).get("generation", 0),
        "replicas": counts.replicas,
        "updatedReplicas": counts.updated,
        "readyReplicas": counts.ready,
        "availableReplicas": counts.available,
        "unavailableReplicas": max(0, sum(spec_of(s).get("replicas", 1) for s in sets) - counts.available),
    }
    status = {k: v for k, v in status.items() if v}
    if all("terminatingReplicas" in status_of(s) for s in sets):
        status["terminatingReplicas"] = sum(status_of(s)["terminatingReplicas"] for s in sets)
    if old.get("collisionCount"):
        status["collisionCount"] = old["collisionCount"]
    conditions = _paused(deployment, old.get("conditions") or [], now)
    status["conditions"] = _with(conditions, _available(deployment, counts), now)
    return status


def rollout_status(
    deployment: Object, sets: Sequence[Object], now: datetime, *, created: bool = False
) -> tuple[dict[str, Any], float | None]:
    """The status during a rollout, and the seconds until the progress deadline has to be looked at again.

    ``created``: the current ReplicaSet was made just now.
    """
    status = counted_status(deployment, sets, now)
    conditions, wait = _progressing(deployment, status["conditions"], sets, now, created=created)
    status["conditions"] = _failing(conditions, sets, now)
    return status, wait


def _available(deployment: Object, counts: Totals) -> dict[str, str]:
    if counts.available >= wanted_of(deployment) - bounds(deployment)[1]:
        return _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    return _condition("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")


def has_deadline(deployment: Object) -> bool:
    """Whether progress is judged at all."""
    deadline = spec_of(deployment).get("progressDeadlineSeconds")
    return deadline is not None and deadline < 2**31 - 1


def _paused(deployment: Object, conditions: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Pausing and resuming show as Progressing=Unknown; a deadline that was missed stays told."""
    kept = [dict(c) for c in conditions]
    current = condition(kept, "Progressing")
    if not has_deadline(deployment) or (current and current["reason"] == "ProgressDeadlineExceeded"):
        return kept
    was = current is not None and current["reason"] == "DeploymentPaused"
    if spec_of(deployment).get("paused") and not was:
        return _with(kept, _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"), now)
    if was and not spec_of(deployment).get("paused"):
        return _with(kept, _condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed"), now)
    return kept


def _progressing(
    deployment: Object, conditions: list[dict[str, Any]], sets: Sequence[Object], now: datetime, *, created: bool
) -> tuple[list[dict[str, Any]], float | None]:
    """The conditions with Progressing as of now (progress.go); a rollout that completed once is not judged again."""
    if not has_deadline(deployment):
        return [c for c in conditions if c["type"] != "Progressing"], None
    new, counts, current = find_new(deployment, sets), totals(deployment, sets), condition(conditions, "Progressing")
    name = f'ReplicaSet "{meta(new)["name"]}"' if new else f'Deployment "{meta(deployment)["name"]}"'
    if new and (created or current is None):
        reason, word = ("NewReplicaSetCreated", "Created new") if created else ("FoundNewReplicaSet", "Found new")
        text = f'{word} replica set "{meta(new)["name"]}"'
        current = _with([], _condition("Progressing", "True", reason, text), now)[0]
        conditions = _with(conditions, current, now, touch=True)
    finished = current is not None and current["reason"] == "NewReplicaSetAvailable"
    if finished and counts.replicas == counts.updated:
        return conditions, None
    if complete(deployment, counts):
        done = _condition("Progressing", "True", "NewReplicaSetAvailable", f"{name} has successfully progressed.")
        return _with(conditions, done, now), None
    if _progressed(deployment, counts):
        moving = _condition("Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
        return _with(conditions, moving, now, touch=True), float(spec_of(deployment)["progressDeadlineSeconds"])
    if current is None or finished or current["reason"] == "ProgressDeadlineExceeded":
        return conditions, None
    return _overdue(deployment, conditions, current, name, now)


def _overdue(
    deployment: Object, conditions: list[dict[str, Any]], current: Mapping[str, Any], name: str, now: datetime
) -> tuple[list[dict[str, Any]], float | None]:
    since = parse_time(current.get("lastUpdateTime") or timestamp(now))
    left = spec_of(deployment)["progressDeadlineSeconds"] - (now - since).total_seconds()
    if left > 0:
        return conditions, left + 1.0  # stamps are whole seconds
    late = _condition("Progressing", "False", "ProgressDeadlineExceeded", f"{name} has timed out progressing.")
    return _with(conditions, late, now), None


def _progressed(deployment: Object, counts: Totals) -> bool:
    """Whether more was done since the last status than before it."""
    old = status_of(deployment)
    old_total, old_updated = old.get("replicas", 0), old.get("updatedReplicas", 0)
    return bool(
        counts.updated > old_updated
        or counts.replicas - counts.updated < old_total - old_updated
        or counts.ready > old.get("readyReplicas", 0)
        or counts.available > old.get("availableReplicas", 0)
    )


def _failing(conditions: list[dict[str, Any]], sets: Sequence[Object], now: datetime) -> list[dict[str, Any]]:
    failures = [c for s in sets for c in status_of(s).get("conditions") or () if c["type"] == "ReplicaFailure"]
    if failures:
        found = failures[0]
        return _with(conditions, _condition("ReplicaFailure", found["status"], found["reason"], found["message"]), now)
    return [c for c in conditions if c["type"] != "ReplicaFailure"]


def _condition(kind: str, state: str, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": state, "reason": reason, "message": message}


def _with(
    conditions: Sequence[Mapping[str, Any]], new: Mapping[str, str], now: datetime, *, touch: bool = False
) -> list[dict[str, Any]]:
    """The conditions with ``new`` in place; nothing moves when status and reason stay, unless ``touch``."""
    result = []
    placed = False
    for old in conditions:
        if old["type"] != new["type"]:
            result.append(dict(old))
            continue
        placed = True
        if old["status"] == new["status"] and old["reason"] == new["reason"] and not touch:
            result.append(dict(old))
        else:
            since = old.get("lastTransitionTime") if old["status"] == new["status"] else None
            result.append({**new, "lastUpdateTime": timestamp(now), "lastTransitionTime": since or timestamp(now)})
    if not placed:
        result.append({**new, "lastUpdateTime": timestamp(now), "lastTransitionTime": timestamp(now)})
    return result
