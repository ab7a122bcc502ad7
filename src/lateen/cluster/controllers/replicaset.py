"""ReplicaSets: exactly so many pods of a template. Follows kube-controller-manager's replicaset controller.

A pod that was created or deleted counts at once, before the informer shows it, so that a slow cache never makes a pod too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lateen.aio.tasks import gather
from lateen.cluster.controllers.kit import (
    BY_OWNER,
    Kit,
    owner_key,
    pod_active,
    pod_available,
    pod_ready,
    ready_since,
    spec_of,
    status_of,
)
from lateen.errors import ApiError, LateenError, NotFoundError
from lateen.kube.meta import Key, Object, controller_of, key_of, labels_of, meta, owner_reference, parse_time, set_condition, uid_of
from lateen.kube.resources import PODS, REPLICASETS
from lateen.kube.selectors import from_selector
from lateen.reconcile import DONE, Controller, Result, Source

BATCH = 500  # pods created or deleted by one reconcile


def controller(kit: Kit) -> Controller:
    """The controller, fed by ReplicaSets and their pods."""
    reconciler = ReplicaSetReconciler(kit)
    pods, sets = kit.owned(PODS), kit.informer(REPLICASETS)
    return Controller(
        name="replicaset",
        reconciler=reconciler,
        sources=[
            Source(informer=sets),
            # Many pods become ready together: their set looks once for all of them.
            Source(informer=pods, keys=owner_key("ReplicaSet"), delay=0.01),
            Source(informer=pods, keys=reconciler.adopters, predicate=_orphan),
        ],
        clock=kit.clock,
        workers=8,
    )


def _orphan(old: Object | None, new: Object | None) -> bool:
    return new is not None and controller_of(new) is None and bool(labels_of(new))


@dataclass(slots=True)
class Assumed:
    """What this controller did to one set's pods and the informer has not shown yet."""

    created: dict[str, Object] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)


class ReplicaSetReconciler:
    """Makes pods match ``spec.replicas``, adopts and releases by selector, writes the status."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._sets, self._pods = kit.informer(REPLICASETS), kit.owned(PODS)
        self._assumed: dict[str, Assumed] = {}
        self._pods.subscribe(self._seen)

    def _seen(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        ref = controller_of(pod) if pod else None
        if pod is None or ref is None or (assumed := self._assumed.get(ref["uid"])) is None:
            return
        uid = uid_of(pod)
        assumed.created.pop(uid, None)
        if new is None or meta(new).get("deletionTimestamp"):
            assumed.deleted.discard(uid)

    def adopters(self, pod: Object) -> Iterable[Key]:
        """The sets in the pod's namespace whose selector matches it."""
        if controller_of(pod) is not None:
            return ()
        labels = labels_of(pod)
        sets = self._sets.list(key_of(pod).namespace)
        return [key_of(s) for s in sets if from_selector(spec_of(s)["selector"])(labels)]

    async def reconcile(self, key: Key) -> Result:
        replica_set = self._sets.get(key)
        if replica_set is None:
            return DONE
        uid = uid_of(replica_set)
        pods = await self._claim(replica_set)
        assumed = self._assumed.setdefault(uid, Assumed())
        pods = [p for p in pods if uid_of(p) not in assumed.deleted] + list(assumed.created.values())
        active = [p for p in pods if pod_active(p)]
        failure: LateenError | None = None
        if not meta(replica_set).get("deletionTimestamp"):
            try:
                active = await self._manage(replica_set, active, assumed)
            except ApiError as error:
                failure = error
        else:
            self._assumed.pop(uid, None)
        wait = await self._status(replica_set, active, failure)
        if failure is not None:
            raise failure
        return Result(wait)

    async def _claim(self, replica_set: Object) -> list[Object]:
        """Owned pods that match; takes in matching orphans, lets go of what no longer matches."""
        matches = from_selector(spec_of(replica_set)["selector"])
        owned = list(self._pods.by_index(BY_OWNER, uid_of(replica_set)))
        kept = [p for p in owned if matches(labels_of(p))]
        for pod in owned:
            if not matches(labels_of(pod)) and not meta(pod).get("deletionTimestamp"):
                await self._own(pod, None)
        if not meta(replica_set).get("deletionTimestamp"):
            others = self._pods.list(key_of(replica_set).namespace)
            orphans = [p for p in others if controller_of(p) is None and pod_active(p) and matches(labels_of(p))]
            kept += await gather([self._own(p, owner_reference(replica_set)) for p in orphans])
        return kept

    async def _own(self, pod: Object, ref: dict[str, Any] | None) -> Object:
        refs = [r for r in meta(pod).get("ownerReferences") or () if not r.get("controller")] + ([ref] if ref else [])
        patch = {"metadata": {"uid": uid_of(pod), "ownerReferences": refs}}
        return await self._kit.client.patch(PODS, meta(pod)["name"], patch, namespace=key_of(pod).namespace)

    async def _manage(self, replica_set: Object, active: list[Object], assumed: Assumed) -> list[Object]:
        wanted = spec_of(replica_set).get("replicas", 1)
        missing = wanted - len(active)
        if missing > 0:
            return active + await self._create(replica_set, min(missing, BATCH), assumed)
        if missing < 0:
            gone = victims(active, -missing, self._kit.clock.now())[:BATCH]
            await self._delete(replica_set, gone, assumed)
            uids = {uid_of(p) for p in gone}
            return [p for p in active if uid_of(p) not in uids]
        return active

    async def _create(self, replica_set: Object, count: int, assumed: Assumed) -> list[Object]:
        """Slow start: 1, 2, 4, ... so that a template that is refused is refused a few times, not ``count`` times."""
        made: list[Object] = []
        size = 1
        while len(made) < count:
            batch = min(size, count - len(made))
            try:
                made += await gather([self._create_one(replica_set, assumed) for _ in range(batch)])
            except ApiError as error:
                self._kit.recorder.warning(replica_set, "FailedCreate", f"Error creating: {error.message}")
                raise
            size *= 2
        return made

    async def _create_one(self, replica_set: Object, assumed: Assumed) -> Object:
        pod = await self._kit.client.create(PODS, pod_from(replica_set))
        if self._pods.get(key_of(pod)) is None:
            assumed.created[uid_of(pod)] = pod
        self._kit.recorder.normal(replica_set, "SuccessfulCreate", f"Created pod: {meta(pod)['name']}")
        return pod

    async def _delete(self, replica_set: Object, pods: Sequence[Object], assumed: Assumed) -> None:
        async def one(pod: Object) -> None:
            key = key_of(pod)
            assumed.deleted.add(uid_of(pod))
            try:
                await self._kit.client.delete(PODS, key.name, key.namespace, uid=uid_of(pod))
            except NotFoundError:
                return
            except ApiError as error:
                assumed.deleted.discard(uid_of(pod))
                self._kit.recorder.warning(replica_set, "FailedDelete", f"Error deleting: {error.message}")
                raise
            self._kit.recorder.normal(replica_set, "SuccessfulDelete", f"Deleted pod: {key.name}")

        await gather([one(p) for p in pods])

    async def _status(self, replica_set: Object, pods: Sequence[Object], failure: LateenError | None) -> float | None:
        """Write the status if it changed; seconds until the next pod may become available."""
        now = self._kit.clock.now()
        status = new_status(replica_set, pods, failure, now)
        if status != status_of(replica_set):
            await self._kit.client.update_status(REPLICASETS, {**replica_set, "status": status})
        min_ready = spec_of(replica_set).get("minReadySeconds") or 0
        if status.get("readyReplicas", 0) != status.get("availableReplicas", 0) and min_ready:
            return soonest_available(pods, min_ready, now)
        return None


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


def victims(pods: Sequence[Object], count: int, now: datetime) -> list[Object]:
    """Which pods go first: ActivePodsWithRanks of kube-controller-manager, crowded nodes before others."""
    crowd: dict[str, int] = {}
    for pod in pods:
        node = spec_of(pod).get("nodeName") or ""
        crowd[node] = crowd.get(node, 0) + 1

    def rank(pod: Object) -> tuple[Any, ...]:
        node, phase = spec_of(pod).get("nodeName") or "", status_of(pod).get("phase")
        since = ready_since(pod)
        restarts = max((c.get("restartCount", 0) for c in status_of(pod).get("containerStatuses") or ()), default=0)
        created = meta(pod).get("creationTimestamp")
        return (
            bool(node),
            {"Pending": 0, "Unknown": 1}.get(phase or "Pending", 2),
            pod_ready(pod),
            int((meta(pod).get("annotations") or {}).get("controller.kubernetes.io/pod-deletion-cost", "0")),
            -crowd[node],
            -since.timestamp() if since else 0.0,
            -restarts,
            -parse_time(created).timestamp() if created else 0.0,
        )

    return sorted(pods, key=rank)[:count]


def new_status(replica_set: Object, pods: Sequence[Object], failure: LateenError | None, now: datetime) -> dict[str, Any]:
    """The status the set should show."""
    spec, old = spec_of(replica_set), status_of(replica_set)
    wanted = (meta(spec["template"]).get("labels") or {}).items()
    min_ready = spec.get("minReadySeconds") or 0
    counts = {
        "fullyLabeledReplicas": sum(all(labels_of(p).get(k) == v for k, v in wanted) for p in pods),
        "readyReplicas": sum(map(pod_ready, pods)),
        "availableReplicas": sum(pod_available(p, min_ready, now) for p in pods),
    }
    status: dict[str, Any] = {"replicas": len(pods), **{k: v for k, v in counts.items() if v}}
    if generation := meta(replica_set).get("generation"):
        status["observedGeneration"] = generation
    conditions = [c for c in old.get("conditions") or () if c["type"] != "ReplicaFailure"]
    if failure is not None:
        new = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": str(failure)}
        conditions = set_condition(old.get("conditions"), new, now)
    if conditions:
        status["conditions"] = conditions
    return status
