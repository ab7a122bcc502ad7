"""ReplicaSets, and the ReplicationControllers before them: exactly so many pods of a template. Follows kube-controller-manager's
replicaset controller, which serves both.

Own writes show in the cache at once (Kit.reading_own_writes), so that a slow watch never makes a pod too many.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lateen.aio.tasks import gather, outcomes
from lateen.cluster.controllers.kit import (
    BY_OWNER,
    Kit,
    orphans,
    owner_key,
    pod_active,
    pod_available,
    pod_ending,
    pod_ready,
    ready_since,
    spec_of,
    status_of,
)
from lateen.errors import ApiError, ForbiddenError, LateenError, NotFoundError, TransportError
from lateen.kube.meta import (
    Key,
    Object,
    annotations_of,
    condition,
    controller_of,
    key_of,
    labels_of,
    meta,
    owner_reference,
    parse_time,
    set_condition,
    uid_of,
)
from lateen.kube.resources import PODS, REPLICASETS, Resource
from lateen.kube.selectors import Predicate, from_selector
from lateen.reconcile import DONE, Controller, Result, Source

Selecting = Callable[[Any], Predicate]
BATCH = 500  # pods created or deleted by one reconcile
_PACE, _PACE_PER_POD = 0.01, 0.0002  # seconds


def controller(kit: Kit) -> Controller:
    """The controller, fed by ReplicaSets and their pods."""
    return controller_of_kind(kit.named("replicaset-controller"), REPLICASETS, from_selector)


def controller_of_kind(kit: Kit, kind: Resource, selecting: Selecting) -> Controller:
    """The controller of ``kind``; ``selecting`` reads its ``spec.selector``."""
    reconciler = ReplicaSetReconciler(kit, kind, selecting)
    pods, sets = kit.owned(PODS), kit.informer(kind)
    return Controller(
        name=kind.kind.lower(),
        reconciler=reconciler,
        sources=[
            Source(informer=sets),
            Source(informer=pods, keys=owner_key(kind.kind), delay=reconciler.pace),
            Source(informer=pods, keys=reconciler.adopters, predicate=_orphan),
        ],
        clock=kit.clock,
        workers=8,
    )


def _orphan(old: Object | None, new: Object | None) -> bool:
    return new is not None and controller_of(new) is None and bool(labels_of(new))


class ReplicaSetReconciler:
    """Makes pods match ``spec.replicas``, adopts and releases by selector, writes the status."""

    def __init__(self, kit: Kit, kind: Resource, selecting: Selecting) -> None:
        self._kit, self._kind, self._selecting = kit, kind, selecting
        self._sets, self._pods = kit.owned(kind), kit.owned(PODS)
        self._deleted: set[str] = set()  # pods deleted here that the informer still shows as they were
        self._pods.subscribe(self._seen)

    def _seen(self, old: Object | None, new: Object | None) -> None:
        if self._deleted and (new is None or meta(new).get("deletionTimestamp")):
            self._deleted.discard(uid_of(new or old or {}))

    def pace(self, key: Key) -> float:
        """Many pods become ready together: their set looks once for all of them; a large one, with much to look at, less often."""
        replica_set = self._sets.get(key)
        return _PACE + _PACE_PER_POD * (spec_of(replica_set).get("replicas") or 0) if replica_set else _PACE

    def adopters(self, pod: Object) -> Iterable[Key]:
        """The sets in the pod's namespace whose selector matches it."""
        if controller_of(pod) is not None:
            return ()
        labels = labels_of(pod)
        sets = self._sets.list(key_of(pod).namespace)
        return [key_of(s) for s in sets if self._selecting(spec_of(s)["selector"])(labels)]

    async def reconcile(self, key: Key) -> Result:
        replica_set = self._sets.get(key)
        if replica_set is None:
            return DONE
        pods = [p for p in await self._claim(replica_set) if pod_active(p) and uid_of(p) not in self._deleted]
        failure: LateenError | None = None
        if not meta(replica_set).get("deletionTimestamp"):
            try:
                await self._manage(replica_set, pods)
            except (ApiError, TransportError) as error:
                failure = error
            pods = [p for p in self._owned(replica_set) if pod_active(p) and uid_of(p) not in self._deleted]
        ending = sum(map(pod_ending, self._owned(replica_set))) if self._kind == REPLICASETS else None
        wait = await self._status(self._sets.get(key) or replica_set, pods, failure, ending)
        if failure is not None:
            raise failure
        return Result(wait)

    def _owned(self, replica_set: Object) -> Sequence[Object]:
        return self._pods.by_index(BY_OWNER, uid_of(replica_set))

    async def _claim(self, replica_set: Object) -> list[Object]:
        """Owned pods that match; takes in matching orphans, lets go of what no longer matches."""
        matches = self._selecting(spec_of(replica_set)["selector"])
        owned = self._owned(replica_set)
        kept = [p for p in owned if matches(labels_of(p))]
        if len(kept) != len(owned):
            await gather([self._own(p, None) for p in owned if not matches(labels_of(p)) and pod_active(p)])
        if not meta(replica_set).get("deletionTimestamp"):
            alone = orphans(self._pods, key_of(replica_set).namespace)
            mine = [p for p in alone if pod_active(p) and matches(labels_of(p))]
            kept += await gather([self._own(p, owner_reference(replica_set)) for p in mine])
        return kept

    async def _own(self, pod: Object, ref: dict[str, Any] | None) -> Object:
        refs = [r for r in meta(pod).get("ownerReferences") or () if not r.get("controller")] + ([ref] if ref else [])
        patch = {"metadata": {"uid": uid_of(pod), "ownerReferences": refs or None}}
        return await self._kit.client.patch(PODS, meta(pod)["name"], patch, namespace=key_of(pod).namespace)

    async def _manage(self, replica_set: Object, active: list[Object]) -> None:
        missing = spec_of(replica_set).get("replicas", 1) - len(active)
        if missing > 0:
            await self._create(replica_set, min(missing, BATCH))
        elif missing < 0:
            crowd = crowding(self._related(replica_set))
            await self._delete(replica_set, victims(active, min(-missing, BATCH), crowd=crowd, now=self._kit.clock.now()))

    def _related(self, replica_set: Object) -> Iterable[Object]:
        """The active pods of this set and of its siblings under the same owner."""
        owner = controller_of(replica_set)
        siblings = self._sets.by_index(BY_OWNER, owner["uid"]) if owner else [replica_set]
        return [p for s in siblings for p in self._owned(s) if pod_active(p)]

    async def _create(self, replica_set: Object, count: int) -> None:
        """Slow start: 1, 2, 4, ... so that a template that is refused is refused a few times, not ``count`` times."""
        made, size = 0, 1
        while made < count:
            size = min(size, count - made)
            self._raise_first(
                replica_set, await outcomes([self._create_one(replica_set) for _ in range(size)]), "create", "creating"
            )
            made += size
            size *= 2

    async def _create_one(self, replica_set: Object) -> None:
        pod = await self._kit.client.create(PODS, pod_from(replica_set))
        self._kit.recorder.normal(replica_set, "SuccessfulCreate", f"Created pod: {meta(pod)['name']}")

    async def _delete(self, replica_set: Object, pods: Sequence[Object]) -> None:
        self._raise_first(replica_set, await outcomes([self._delete_one(replica_set, p) for p in pods]), "delete", "deleting")

    async def _delete_one(self, replica_set: Object, pod: Object) -> None:
        key, uid = key_of(pod), uid_of(pod)
        self._deleted.add(uid)
        try:
            await self._kit.client.delete(PODS, key.name, key.namespace, uid=uid)
        except NotFoundError:
            return
        except BaseException:
            self._deleted.discard(uid)
            raise
        if self._pods.get(key) is None:
            self._deleted.discard(uid)
        self._kit.recorder.normal(replica_set, "SuccessfulDelete", f"Deleted pod: {key.name}")

    def _raise_first(self, replica_set: Object, results: Sequence[object], verb: str, doing: str) -> None:
        """Raise the first failure, told as an event, unless the namespace is going anyway."""
        failures = [r for r in results if isinstance(r, Exception) and not namespace_terminating(r)]
        if failures:
            self._kit.recorder.warning(replica_set, f"Failed{verb.capitalize()}", f"Error {doing}: {failures[0]}")
            raise failures[0]

    async def _status(
        self, replica_set: Object, pods: Sequence[Object], failure: LateenError | None, ending: int | None
    ) -> float | None:
        """Write the status if it changed; seconds until the next pod may become available."""
        now = self._kit.clock.now()
        status = new_status(replica_set, pods, failure, now, ending=ending)
        if status != status_of(replica_set):
            await self._kit.client.update_status(self._kind, {**replica_set, "status": status})
        min_ready = spec_of(replica_set).get("minReadySeconds") or 0
        if status.get("readyReplicas", 0) != status.get("availableReplicas", 0) and min_ready:
            return soonest_available(pods, min_ready, now)
        return None


def namespace_terminating(error: Exception) -> bool:
    """Whether the API server refused because the namespace is on its way out."""
    causes = error.details.get("causes") or () if isinstance(error, ForbiddenError) else ()
    return any(c.get("reason") == "NamespaceTerminating" for c in causes)


def soonest_available(pods: Iterable[Object], min_ready: float, now: datetime) -> float | None:
    """Seconds until the first ready pod that is not yet available becomes so; None when there is none."""
    waits = [min_ready - (now - since).total_seconds() for p in pods if (since := ready_since(p)) is not None]
    return min((w for w in waits if w > 0), default=None)


def pod_from(replica_set: Object) -> Object:
    """A new pod of the set's template."""
    template = spec_of(replica_set)["template"]
    m = meta(template)
    name = meta(replica_set)["name"]
    metadata: dict[str, Any] = {
        "generateName": f"{name[:57]}-",
        "namespace": key_of(replica_set).namespace,
        "labels": dict(m.get("labels") or {}),
        "ownerReferences": [owner_reference(replica_set)],
    }
    if m.get("annotations"):
        metadata["annotations"] = dict(m["annotations"])
    if m.get("finalizers"):
        metadata["finalizers"] = list(m["finalizers"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def crowding(pods: Iterable[Object]) -> Mapping[str, int]:
    """Pods per node."""
    return Counter(spec_of(p).get("nodeName") or "" for p in pods)


def victims(pods: Sequence[Object], count: int, *, crowd: Mapping[str, int], now: datetime) -> list[Object]:
    """Which pods go first: ActivePodsWithRanks of kube-controller-manager. ``crowd`` counts related pods per node."""

    def rank(pod: Object) -> tuple[Any, ...]:
        node, phase = spec_of(pod).get("nodeName") or "", status_of(pod).get("phase")
        since = ready_since(pod)
        restarts = max((c.get("restartCount", 0) for c in status_of(pod).get("containerStatuses") or ()), default=0)
        created = meta(pod).get("creationTimestamp")
        return (
            bool(node),
            {"Pending": 0, "Unknown": 1}.get(phase or "Pending", 2),
            pod_ready(pod),
            deletion_cost(pod),
            -crowd.get(node, 0),
            _age_rank(now, since) if since else 0,
            -restarts,
            _age_rank(now, parse_time(created)) if created else 0,
            uid_of(pod),
        )

    return sorted(pods, key=rank)[:count]


def deletion_cost(pod: Object) -> int:
    """The annotation of that name; 0 if it is no number."""
    text = annotations_of(pod).get("controller.kubernetes.io/pod-deletion-cost", "0")
    return int(text) if text.lstrip("+-").isdigit() else 0


def _age_rank(now: datetime, since: datetime) -> int:
    """Ages on a logarithmic scale, so that of pods of about one age any may go (LogarithmicScaleDown)."""
    seconds = (now - since).total_seconds()
    return 1 + int(math.log2(1 + seconds)) if seconds > 0 else 1


def new_status(
    replica_set: Object, pods: Sequence[Object], failure: LateenError | None, now: datetime, *, ending: int | None = None
) -> dict[str, Any]:
    """The status the set should show. ``ending``: pods on their way out, where the kind tells them."""
    spec, old = spec_of(replica_set), status_of(replica_set)
    wanted = (meta(spec["template"]).get("labels") or {}).items()
    min_ready = spec.get("minReadySeconds") or 0
    counts = {
        "fullyLabeledReplicas": sum(all(labels_of(p).get(k) == v for k, v in wanted) for p in pods),
        "readyReplicas": sum(map(pod_ready, pods)),
        "availableReplicas": sum(pod_available(p, min_ready, now) for p in pods),
    }
    status: dict[str, Any] = {"replicas": len(pods), **{k: v for k, v in counts.items() if v}}
    if ending is not None:
        status["terminatingReplicas"] = ending
    if generation := meta(replica_set).get("generation"):
        status["observedGeneration"] = generation
    conditions = list(old.get("conditions") or ())
    if failure is None:
        conditions = [c for c in conditions if c["type"] != "ReplicaFailure"]
    elif condition(conditions, "ReplicaFailure") is None:
        reason = "FailedCreate" if len(pods) < spec.get("replicas", 1) else "FailedDelete"
        new = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": str(failure)}
        conditions = set_condition(conditions, new, now)
    if conditions:
        status["conditions"] = conditions
    return status
