"""StatefulSets at work: reads the world, asks ``statefulset_plan`` what to do, does it. Follows kube-controller-manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lateen.aio.tasks import gather, outcomes
from lateen.cluster.controllers import revisions
from lateen.cluster.controllers import statefulset_plan as plan
from lateen.cluster.controllers.history import History
from lateen.cluster.controllers.kit import BY_OWNER, Kit, orphans, owner_key, spec_of, status_of
from lateen.cluster.controllers.replicaset import namespace_terminating, soonest_available
from lateen.errors import AlreadyExistsError, ApiError, NotFoundError
from lateen.kube.meta import Key, Object, key_of, labels_of, meta, owner_reference, uid_of
from lateen.kube.resources import PODS, PVCS, STATEFULSETS
from lateen.kube.selectors import from_selector
from lateen.reconcile import DONE, Controller, Result, Source


def controller(kit: Kit) -> Controller:
    """The controller, fed by StatefulSets and their pods."""
    kit = kit.named("statefulset-controller")
    return Controller(
        name="statefulset",
        reconciler=StatefulSetReconciler(kit),
        sources=[
            Source(informer=kit.informer(STATEFULSETS)),
            Source(informer=kit.owned(PODS), keys=owner_key("StatefulSet")),
        ],
        clock=kit.clock,
        workers=8,
    )


class StatefulSetReconciler:
    """One StatefulSet: its pods by ordinal, their claims, its revisions, its status."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._sets, self._pods, self._claims = kit.informer(STATEFULSETS), kit.owned(PODS), kit.informer(PVCS)
        self._history = History(kit, STATEFULSETS)

    async def reconcile(self, key: Key) -> Result:
        stateful_set = self._sets.get(key)
        if stateful_set is None:
            return DONE
        pods = await self._claim_pods(stateful_set)
        known = self._history.of(stateful_set)
        update = await self._history.present(stateful_set, known)
        if update is None:
            return DONE  # its name is taken: the status counts the collision, and brings us back
        view = self._view(stateful_set, pods, known, update)
        failure: ApiError | None = None
        if not meta(stateful_set).get("deletionTimestamp"):
            await self._keep_claims(view)
            try:
                for step in plan.steps(view):
                    await self._do(stateful_set, step)
            except ApiError as error:
                failure = error
        view = self._view(stateful_set, self._owned(stateful_set), known, update)
        await self._write(stateful_set, plan.new_status(view))
        if failure is not None:
            raise failure
        live = {meta(view.current)["name"], meta(update)["name"], *map(revisions.revision_label, view.pods)}
        await self._history.truncate(stateful_set, live)
        return Result(soonest_available(view.pods, view.min_ready, view.now) if view.min_ready else None)

    def _owned(self, stateful_set: Object) -> Sequence[Object]:
        return self._pods.by_index(BY_OWNER, uid_of(stateful_set))

    def _view(self, stateful_set: Object, pods: Sequence[Object], known: Sequence[Object], update: Object) -> plan.View:
        name = status_of(stateful_set).get("currentRevision")
        current = next((r for r in known if meta(r)["name"] == name), update)
        return plan.View(set=stateful_set, pods=pods, current=current, update=update, now=self._kit.clock.now())

    async def _claim_pods(self, stateful_set: Object) -> Sequence[Object]:
        """Its pods; orphans with its labels and a name of its own are taken in, those that lost its labels are let go."""
        matches = from_selector(spec_of(stateful_set)["selector"])
        owned = self._owned(stateful_set)
        if meta(stateful_set).get("deletionTimestamp"):
            return owned
        strange = [p for p in owned if not matches(labels_of(p))]
        alone = [p for p in orphans(self._pods, key_of(stateful_set).namespace) if plan.belongs(stateful_set, p)]
        mine = [p for p in alone if matches(labels_of(p)) and not plan.terminating(p)]
        if strange or mine:
            await gather([self._own(p, None) for p in strange] + [self._own(p, owner_reference(stateful_set)) for p in mine])
        return self._owned(stateful_set)

    async def _own(self, pod: Object, ref: dict[str, Any] | None) -> None:
        refs = [r for r in meta(pod).get("ownerReferences") or () if not r.get("controller")] + ([ref] if ref else [])
        patch = {"metadata": {"uid": uid_of(pod), "ownerReferences": refs or None}}
        await self._kit.client.patch(PODS, meta(pod)["name"], patch, namespace=key_of(pod).namespace)

    async def _do(self, stateful_set: Object, step: plan.Step) -> None:
        name, owner = meta(step.pod)["name"], meta(stateful_set)["name"]
        try:
            if step.verb is plan.Verb.create:
                await self._make_claims(stateful_set, name)
                await self._kit.client.create(PODS, step.pod)
            elif step.verb is plan.Verb.delete:
                await self._kit.client.delete(PODS, name, key_of(step.pod).namespace, uid=uid_of(step.pod))
            else:
                await self._repair(stateful_set, step.pod)
                return
        except NotFoundError:
            return
        except ApiError as error:
            if not namespace_terminating(error):
                text = f"{step.verb} Pod {name} in StatefulSet {owner} failed error: {error}"
                self._kit.recorder.warning(stateful_set, f"Failed{step.verb.capitalize()}", text)
            raise
        text = f"{step.verb} Pod {name} in StatefulSet {owner} successful"
        self._kit.recorder.normal(stateful_set, f"Successful{step.verb.capitalize()}", text)

    async def _repair(self, stateful_set: Object, pod: Object) -> None:
        """Labels can be given back; volumes of a pod cannot change, but missing claims can be made."""
        name = meta(pod)["name"]
        await self._make_claims(stateful_set, name)
        if labels_of(pod).get(plan.POD_NAME) != name:
            labels = {plan.POD_NAME: name, plan.POD_INDEX: str(plan.ordinal(pod))}
            await self._kit.client.patch(PODS, name, {"metadata": {"labels": labels}}, namespace=key_of(pod).namespace)

    async def _make_claims(self, stateful_set: Object, pod: str) -> None:
        owner, namespace = meta(stateful_set)["name"], key_of(stateful_set).namespace
        for claim in plan.new_claims(stateful_set, pod):
            name = meta(claim)["name"]
            if self._claims.get(Key(namespace, name)) is not None:
                continue
            refs = plan.claim_owners(stateful_set, claim, None, plan.ordinals(stateful_set).start)
            if refs:
                meta(claim)["ownerReferences"] = refs
            try:
                await self._kit.client.create(PVCS, claim)
            except AlreadyExistsError:
                continue
            text = f"create Claim {name} Pod {pod} in StatefulSet {owner} success"
            self._kit.recorder.normal(stateful_set, "SuccessfulCreate", text)

    async def _keep_claims(self, view: plan.View) -> None:
        """Claims belong to whom the retention policy says; it may have changed, and so may the size."""
        await outcomes([self._keep_claim(view.set, pod, t) for pod in view.pods for t in plan.templates(view.set)])

    async def _keep_claim(self, stateful_set: Object, pod: Object, template: str) -> None:
        key = Key(key_of(pod).namespace, plan.claim_name(template, meta(pod)["name"]))
        claim = self._claims.get(key)
        if claim is None:
            return
        refs = plan.claim_owners(stateful_set, claim, pod, plan.ordinal(pod))
        if refs != (meta(claim).get("ownerReferences") or []):
            patch = {"metadata": {"uid": uid_of(claim), "ownerReferences": refs or None}}
            await self._kit.client.patch(PVCS, key.name, patch, namespace=key.namespace)

    async def _write(self, stateful_set: Object, status: dict[str, Any]) -> None:
        if status != status_of(stateful_set):
            await self._kit.client.update_status(STATEFULSETS, {**stateful_set, "status": status})
