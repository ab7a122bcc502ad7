"""Claims for generic ephemeral volumes: each pod's own, made from the template in its spec; the garbage collector removes them
with the pod. Follows kube-controller-manager's ephemeral volume controller.
"""

from __future__ import annotations

from typing import Any

from lateen.cluster.controllers.kit import Kit, spec_of
from lateen.errors import AlreadyExistsError
from lateen.kube.claims import ephemeral_claim, made_for
from lateen.kube.meta import Key, Object, key_of, meta, owner_reference
from lateen.kube.resources import PODS, PVCS
from lateen.reconcile import DONE, Controller, Result, Source


def controller(kit: Kit) -> Controller:
    """The controller, fed by pods that come and claims that go."""
    kit = kit.named("ephemeral_volume")

    def of_claim(claim: Object) -> list[Key]:
        return [Key(key_of(claim).namespace, r["name"]) for r in meta(claim).get("ownerReferences") or () if r["kind"] == "Pod"]

    return Controller(
        name="ephemeral",
        reconciler=EphemeralReconciler(kit),
        sources=[
            Source(informer=kit.informer(PODS), predicate=lambda old, new: old is None and bool(_wanted(new or {}))),
            Source(informer=kit.informer(PVCS), keys=of_claim, predicate=lambda _, new: new is None),
        ],
        clock=kit.clock,
        workers=2,
    )


def _wanted(pod: Object) -> list[dict[str, Any]]:
    return [v for v in spec_of(pod).get("volumes") or () if "ephemeral" in v]


class EphemeralReconciler:
    """One pod's claims."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._pods, self._claims = kit.informer(PODS), kit.informer(PVCS)

    async def reconcile(self, key: Key) -> Result:
        pod = self._pods.get(key)
        if pod is None or meta(pod).get("deletionTimestamp"):
            return DONE
        for volume in _wanted(pod):
            await self._make(pod, volume)
        return DONE

    async def _make(self, pod: Object, volume: dict[str, Any]) -> None:
        key = Key(key_of(pod).namespace, ephemeral_claim(pod, volume))
        known = self._claims.get(key)
        if known is None:
            try:
                known = await self._kit.client.create(PVCS, new_claim(pod, volume))
            except AlreadyExistsError:
                known = await self._kit.client.get(PVCS, key.name, key.namespace)
        if not made_for(pod, known):
            text = f"PVC {key} was not created for pod {key_of(pod)} (pod is not owner)"
            self._kit.recorder.warning(pod, "FailedBinding", f"ephemeral volume {volume['name']}: {text}")


def new_claim(pod: Object, volume: dict[str, Any]) -> Object:
    """The claim of a pod's volume."""
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    metadata: dict[str, Any] = {
        k: dict(v) for k, v in (template.get("metadata") or {}).items() if k in ("labels", "annotations") and v
    }
    metadata |= {"name": ephemeral_claim(pod, volume), "namespace": key_of(pod).namespace}
    metadata["ownerReferences"] = [owner_reference({"apiVersion": "v1", "kind": "Pod", **pod})]
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.get("spec") or {}}
