"""Storage in use stays: a claim that a pod mounts, a volume that is bound, are deleted only when that ends.

Follows kube-controller-manager's pvc-protection and pv-protection controllers: a finalizer on every claim and every volume.
"""

from __future__ import annotations

from collections.abc import Iterable

from lateen.cluster.controllers.kit import Kit, spec_of, status_of
from lateen.kube.claims import claims_of
from lateen.kube.meta import Key, Object, key_of
from lateen.kube.resources import PODS, PVCS, PVS
from lateen.reconcile import DONE, Controller, Result, Source, finalizers

CLAIM, VOLUME = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
_FINISHED = ("Succeeded", "Failed")


def controller(kit: Kit) -> Controller:
    """The controller. A claim's key is its own; a volume's key has no namespace."""

    def of_pod(pod: Object) -> Iterable[Key]:
        return [Key(key_of(pod).namespace, name) for name in claims_of(pod)]

    return Controller(
        name="protection",
        reconciler=ProtectionReconciler(kit),
        sources=[
            Source(informer=kit.informer(PVCS), predicate=lambda _, new: new is not None),
            Source(informer=kit.informer(PVS), predicate=lambda _, new: new is not None),
            Source(informer=kit.informer(PODS), keys=of_pod, predicate=lambda _, new: new is None or not uses(new)),
        ],
        clock=kit.clock,
        workers=2,
    )


class ProtectionReconciler:
    """Puts the finalizer on, and takes it off when nothing uses the object any longer."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._claims, self._volumes, self._pods = kit.informer(PVCS), kit.informer(PVS), kit.informer(PODS)

    async def reconcile(self, key: Key) -> Result:
        claims = bool(key.namespace)
        resource, finalizer = (PVCS, CLAIM) if claims else (PVS, VOLUME)
        obj = (self._claims if claims else self._volumes).get(key)
        if obj is None:
            return DONE
        if not finalizers.deleting(obj):
            await finalizers.ensure(self._kit.client, resource, obj, finalizer)
        elif not (await self._mounted(key) if claims else status_of(obj).get("phase") == "Bound"):
            await finalizers.release(self._kit.client, resource, obj, finalizer)
        return DONE

    async def _mounted(self, key: Key) -> bool:
        """Data may be lost next: where the cache knows no pod, the server is asked."""
        if any(uses(p) and key.name in claims_of(p) for p in self._pods.list(key.namespace)):
            return True
        pods = (await self._kit.client.list(PODS, key.namespace)).items
        return any(uses(p) and key.name in claims_of(p) for p in pods)


def uses(pod: Object) -> bool:
    """Whether a pod may be using its volumes: it has a node and has not finished."""
    return bool(spec_of(pod).get("nodeName")) and status_of(pod).get("phase") not in _FINISHED
