"""DaemonSets at work: reads the world, asks ``daemonset_plan`` what to do, does it. Follows kube-controller-manager."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from lateen.aio.tasks import outcomes
from lateen.cluster.controllers import daemonset_plan as plan
from lateen.cluster.controllers import revisions
from lateen.cluster.controllers.history import History
from lateen.cluster.controllers.kit import BY_OWNER, Kit, owner_key, status_of
from lateen.cluster.controllers.replicaset import namespace_terminating, soonest_available
from lateen.errors import ApiError, NotFoundError
from lateen.kube.meta import Key, Object, key_of, labels_of, meta, uid_of
from lateen.kube.resources import DAEMONSETS, NODES, PODS
from lateen.reconcile import DONE, Controller, Result, Source

BATCH = 250  # pods created or deleted by one reconcile
_FIRST_BACKOFF, _MOST_BACKOFF = 1.0, 900.0  # seconds between two replacements of a pod that fails


def controller(kit: Kit) -> Controller:
    """The controller, fed by DaemonSets, their pods, and changes of nodes that matter to placing."""
    kit = kit.named("daemonset-controller")
    reconciler = DaemonSetReconciler(kit)
    return Controller(
        name="daemonset",
        reconciler=reconciler,
        sources=[
            Source(informer=kit.informer(DAEMONSETS)),
            Source(informer=kit.owned(PODS), keys=owner_key("DaemonSet")),
            Source(informer=kit.informer(NODES), keys=reconciler.all, predicate=_matters),
        ],
        clock=kit.clock,
    )


def _matters(old: Object | None, new: Object | None) -> bool:
    """Heartbeats of nodes change nothing for a DaemonSet."""
    if old is None or new is None:
        return True
    return labels_of(old) != labels_of(new) or old.get("spec") != new.get("spec")


class DaemonSetReconciler:
    """One DaemonSet: a pod per node, its revisions, its status."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._sets, self._pods, self._nodes = kit.informer(DAEMONSETS), kit.owned(PODS), kit.informer(NODES)
        self._history = History(kit, DAEMONSETS)
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}  # (set, node): failures, not before

    def all(self, _node: Object) -> Iterable[Key]:
        """Every DaemonSet: each decides about each node."""
        return [key_of(s) for s in self._sets.list()]

    async def reconcile(self, key: Key) -> Result:
        daemon_set = self._sets.get(key)
        if daemon_set is None:
            return DONE
        known = self._history.of(daemon_set)
        update = await self._history.present(daemon_set, known)
        if update is None:
            return DONE
        view, failure, wait = self._view(daemon_set, update), None, None
        if not meta(daemon_set).get("deletionTimestamp"):
            failure, wait = await self._do(view, plan.steps(view))
        view = self._view(daemon_set, update)
        await self._write(daemon_set, plan.new_status(view))
        if failure is not None:
            raise failure
        used = {revisions.revision_label(p) for p in view.pods}
        live = {meta(r)["name"] for r in known if labels_of(r).get(revisions.HASH) in used} | {meta(update)["name"]}
        await self._history.truncate(daemon_set, live)
        soon = soonest_available(view.pods, view.min_ready, view.now) if view.min_ready else None
        return Result(min((w for w in (wait, soon) if w is not None), default=None))

    def _view(self, daemon_set: Object, update: Object) -> plan.View:
        pods = self._pods.by_index(BY_OWNER, uid_of(daemon_set))
        return plan.View(set=daemon_set, nodes=self._nodes.list(), pods=pods, update=update, now=self._kit.clock.now())

    async def _do(self, view: plan.View, steps: plan.Steps) -> tuple[Exception | None, float | None]:
        """Do the steps; the first failure, and the seconds until a failed pod may be replaced."""
        failed, wait = self._due(view.set, steps.failed)
        for pod in failed:
            where = f"{key_of(pod).namespace}/{meta(pod)['name']} on node {plan.target_of(pod)}"
            self._kit.recorder.warning(view.set, "FailedDaemonPod", f"Found failed daemon pod {where}, will try to kill it")
        for pod in steps.finished:
            where = f"{key_of(pod).namespace}/{meta(pod)['name']} on node {plan.target_of(pod)}"
            self._kit.recorder.normal(view.set, "SucceededDaemonPod", f"Found succeeded daemon pod {where}, will try to delete it")
        work = [self._create(view, node) for node in steps.create[:BATCH]]
        work += [self._delete(view.set, pod) for pod in (*steps.delete, *failed, *steps.finished)[:BATCH]]
        return await self._all(view.set, work), wait

    def _due(self, daemon_set: Object, pods: Sequence[Object]) -> tuple[list[Object], float | None]:
        """Failed pods that may be replaced now, with growing pauses for each node."""
        now, due, waits = self._kit.clock.monotonic(), [], []
        for pod in pods:
            place = (uid_of(daemon_set), plan.target_of(pod))
            count, after = self._failures.get(place, (0, 0.0))
            if now < after:
                waits.append(after - now)
                continue
            self._failures[place] = (count + 1, now + min(_MOST_BACKOFF, _FIRST_BACKOFF * 2.0**count))
            due.append(pod)
        return due, min(waits, default=None)

    async def _all(self, daemon_set: Object, work: list[Coroutine[Any, Any, None]]) -> Exception | None:
        failures = [r for r in await outcomes(work) if isinstance(r, Exception)]
        return next((f for f in failures if not (isinstance(f, ApiError) and namespace_terminating(f))), None)

    async def _create(self, view: plan.View, node: str) -> None:
        try:
            pod = await self._kit.client.create(PODS, plan.new_pod(view, node))
        except ApiError as error:
            if not namespace_terminating(error):
                self._kit.recorder.warning(view.set, "FailedCreate", f"Error creating: {error}")
            raise
        self._kit.recorder.normal(view.set, "SuccessfulCreate", f"Created pod: {meta(pod)['name']}")

    async def _delete(self, daemon_set: Object, pod: Object) -> None:
        key = key_of(pod)
        try:
            await self._kit.client.delete(PODS, key.name, key.namespace, uid=uid_of(pod))
        except NotFoundError:
            return
        self._kit.recorder.normal(daemon_set, "SuccessfulDelete", f"Deleted pod: {key.name}")

    async def _write(self, daemon_set: Object, status: dict[str, Any]) -> None:
        if status != status_of(daemon_set):
            await self._kit.client.update_status(DAEMONSETS, {**daemon_set, "status": status})
