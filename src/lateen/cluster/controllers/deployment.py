"""Deployments at work: reads the world, asks ``deployment_plan`` what to do, does it. Follows kube-controller-manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lateen.cluster.controllers import deployment_plan as plan
from lateen.cluster.controllers.kit import BY_OWNER, Kit, orphans, owner_key, pod_active, spec_of, status_of
from lateen.errors import AlreadyExistsError
from lateen.kube.meta import Key, Object, controller_of, key_of, labels_of, meta, owner_reference, uid_of
from lateen.kube.resources import DEPLOYMENTS, PODS, REPLICASETS
from lateen.kube.selectors import from_selector
from lateen.reconcile import DONE, Controller, Result, Source


def controller(kit: Kit) -> Controller:
    """The controller, fed by Deployments, their ReplicaSets, and (for Recreate) the end of pods."""
    kit = kit.named("deployment-controller")
    reconciler = DeploymentReconciler(kit)
    return Controller(
        name="deployment",
        reconciler=reconciler,
        sources=[
            Source(informer=kit.informer(DEPLOYMENTS)),
            Source(informer=kit.owned(REPLICASETS), keys=owner_key("Deployment")),
            Source(informer=kit.owned(PODS), keys=reconciler.of_pod, predicate=lambda _, new: new is None),
        ],
        clock=kit.clock,
        workers=8,
    )


class DeploymentReconciler:
    """One Deployment: its ReplicaSets, their sizes, its status."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._deployments, self._sets = kit.informer(DEPLOYMENTS), kit.owned(REPLICASETS)
        self._pods = kit.owned(PODS)

    def of_pod(self, pod: Object) -> Sequence[Key]:
        """The Deployment behind a pod's ReplicaSet."""
        ref = controller_of(pod)
        owner = self._sets.get(Key(key_of(pod).namespace, ref["name"])) if ref and ref["kind"] == "ReplicaSet" else None
        return tuple(owner_key("Deployment")(owner)) if owner else ()

    async def reconcile(self, key: Key) -> Result:
        deployment = self._deployments.get(key)
        if deployment is None:
            return DONE
        sets = await self._claim(deployment)
        if meta(deployment).get("deletionTimestamp"):
            return await self._count(deployment, sets)
        if spec_of(deployment).get("paused") or plan.is_scaling(deployment, sets):
            sets = await self._resize(deployment, sets, plan.proportional(deployment, sets))
            return await self._count(deployment, sets)
        if (spec_of(deployment).get("strategy") or {}).get("type") == "Recreate":
            return await self._recreate(deployment, sets)
        return await self._roll(deployment, sets)

    async def _claim(self, deployment: Object) -> list[Object]:
        """The Deployment's ReplicaSets: orphans that its selector matches are adopted, those it no longer matches let go."""
        owned = list(self._sets.by_index(BY_OWNER, uid_of(deployment)))
        if meta(deployment).get("deletionTimestamp"):
            return owned
        matches = from_selector(spec_of(deployment)["selector"])
        kept = [s for s in owned if matches(labels_of(s))]
        for strange in [s for s in owned if not matches(labels_of(s)) and not meta(s).get("deletionTimestamp")]:
            await self._own(strange, [r for r in meta(strange)["ownerReferences"] if r["uid"] != uid_of(deployment)])
        for found in orphans(self._sets, key_of(deployment).namespace):
            if matches(labels_of(found)) and not meta(found).get("deletionTimestamp"):
                refs = [*(meta(found).get("ownerReferences") or ()), owner_reference(deployment)]
                kept.append(await self._own(found, refs))
        return kept

    async def _own(self, replica_set: Object, refs: list[dict[str, Any]]) -> Object:
        patch = {"metadata": {"uid": uid_of(replica_set), "ownerReferences": refs or None}}
        return await self._kit.client.patch(REPLICASETS, meta(replica_set)["name"], patch, namespace=key_of(replica_set).namespace)

    async def _roll(self, deployment: Object, sets: list[Object]) -> Result:
        known = plan.find_new(deployment, sets)
        new, sets = await self._new_set(deployment, sets)
        if new is None:
            return DONE
        sets = await self._resize(deployment, sets, plan.rolling(deployment, new, plan.old_sets(sets, new)))
        return await self._finish(deployment, sets, created=known is None)

    async def _recreate(self, deployment: Object, sets: list[Object]) -> Result:
        new = plan.find_new(deployment, sets)
        old = plan.old_sets(sets, new)
        if any(spec_of(s).get("replicas", 1) for s in old):
            sets = await self._resize(deployment, sets, {uid_of(s): 0 for s in old})
            return await self._status(deployment, sets)
        if any(pod_running(p) for s in old for p in self._pods.by_index(BY_OWNER, uid_of(s))):
            return await self._status(deployment, sets)
        known = new
        new, sets = await self._new_set(deployment, sets)
        if new is None:
            return DONE
        sets = await self._resize(deployment, sets, {uid_of(new): spec_of(deployment).get("replicas", 1)})
        return await self._finish(deployment, sets, created=known is None)

    async def _finish(self, deployment: Object, sets: list[Object], *, created: bool) -> Result:
        if plan.complete(deployment, plan.totals(deployment, sets)):
            for stale in plan.beyond_history(deployment, sets):
                await self._kit.client.delete(REPLICASETS, meta(stale)["name"], key_of(stale).namespace, propagation="Background")
        return await self._status(deployment, sets, created=created)

    async def _new_set(self, deployment: Object, sets: list[Object]) -> tuple[Object | None, list[Object]]:
        """The ReplicaSet of the current template, made if it is missing, with its revision. None: somebody took its name."""
        new = plan.find_new(deployment, sets)
        revision = str(plan.max_revision(plan.old_sets(sets, new)) + 1)
        if new is not None:
            wanted = plan.annotations_for(deployment, new, revision)
            patch: dict[str, Any] = {}
            if wanted != (meta(new).get("annotations") or {}):
                patch["metadata"] = {"annotations": wanted}
            if (spec_of(new).get("minReadySeconds") or 0) != (spec_of(deployment).get("minReadySeconds") or 0):
                patch["spec"] = {"minReadySeconds": spec_of(deployment).get("minReadySeconds") or 0}
            if patch:
                updated = await self._kit.client.patch(REPLICASETS, meta(new)["name"], patch, namespace=key_of(new).namespace)
                sets = [updated if uid_of(s) == uid_of(updated) else s for s in sets]
                new = updated
        else:
            try:
                new = await self._kit.client.create(REPLICASETS, plan.new_set(deployment, sets, revision))
            except AlreadyExistsError:
                await self._collision(deployment)
                return None, sets
            sets = [*sets, new]
            self._event(deployment, new, "up", spec_of(new)["replicas"], 0)
        await self._note_revision(deployment, plan.revision_of(new))
        return new, sets

    async def _collision(self, deployment: Object) -> None:
        """A ReplicaSet of another template has our name (somebody else's, or our own that was edited): count up, hash again."""
        name = plan.set_name(deployment)
        found = self._sets.get(Key(key_of(deployment).namespace, name))
        owner = controller_of(found) if found else None
        ours = owner is not None and owner["uid"] == uid_of(deployment)
        if found is None or (ours and plan.find_new(deployment, [found]) is not None):
            return  # our own; the informer has not shown it yet
        count = (status_of(deployment).get("collisionCount") or 0) + 1
        await self._kit.client.update_status(
            DEPLOYMENTS, {**deployment, "status": {**status_of(deployment), "collisionCount": count}}
        )

    async def _note_revision(self, deployment: Object, revision: int) -> None:
        if (meta(deployment).get("annotations") or {}).get(plan.REVISION) != str(revision):
            patch = {"metadata": {"annotations": {plan.REVISION: str(revision)}}}
            await self._kit.client.patch(DEPLOYMENTS, meta(deployment)["name"], patch, namespace=key_of(deployment).namespace)

    async def _resize(self, deployment: Object, sets: list[Object], sizes: dict[str, int]) -> list[Object]:
        """Give each ReplicaSet its size; the ReplicaSets as they are then."""
        result = []
        for replica_set in sets:
            size, old = sizes.get(uid_of(replica_set)), spec_of(replica_set).get("replicas", 1)
            wanted = plan.size_annotations(deployment)
            stale = any((meta(replica_set).get("annotations") or {}).get(k) != v for k, v in wanted.items())
            if size is not None and (size != old or (stale and size > 0)):
                patch = {"metadata": {"annotations": wanted}, "spec": {"replicas": size}}
                name = meta(replica_set)["name"]
                replica_set = await self._kit.client.patch(REPLICASETS, name, patch, namespace=key_of(deployment).namespace)
                if size != old:
                    self._event(deployment, replica_set, "up" if size > old else "down", size, old)
            result.append(replica_set)
        return result

    def _event(self, deployment: Object, replica_set: Object, way: str, size: int, old: int) -> None:
        if size != old:
            message = f"Scaled {way} replica set {meta(replica_set)['name']} from {old} to {size}"
            self._kit.recorder.normal(deployment, "ScalingReplicaSet", message)

    async def _count(self, deployment: Object, sets: Sequence[Object]) -> Result:
        await self._write(deployment, plan.counted_status(deployment, sets, self._kit.clock.now()))
        return DONE

    async def _status(self, deployment: Object, sets: Sequence[Object], *, created: bool = False) -> Result:
        status, wait = plan.rollout_status(deployment, sets, self._kit.clock.now(), created=created)
        await self._write(deployment, status)
        return Result(wait)

    async def _write(self, deployment: Object, status: dict[str, Any]) -> None:
        """Write the status if it changed. Our own notes in annotations may have made a newer version meanwhile; anybody's newer
        spec is judged by the next look, which ``observedGeneration`` tells."""
        if status != status_of(deployment):
            current = self._deployments.get(key_of(deployment)) or deployment
            await self._kit.client.update_status(DEPLOYMENTS, {**current, "status": status})


def pod_running(pod: Object) -> bool:
    """Whether a pod has not finished; one that is terminating still runs."""
    return pod_active(pod) or bool(
        meta(pod).get("deletionTimestamp") and status_of(pod).get("phase") not in ("Succeeded", "Failed")
    )
