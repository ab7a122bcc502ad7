"""PersistentVolumeClaims: bound to volumes that exist, or to new ones on this machine's disk.

The StorageClass ``standard`` (provisioner lateen.dev/local) makes a folder per claim. With WaitForFirstConsumer a claim waits
until the scheduler chose a node for its pod. A released volume is deleted or kept as its reclaim policy says.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lateen.aio.threads import run_blocking
from lateen.cluster.controllers.kit import Kit, pod_active, spec_of, status_of
from lateen.errors import AlreadyExistsError, FailedError, NotFoundError, TerminalError
from lateen.kube.claims import BOUND_BY, SELECTED_NODE, claim_reference, claims_of, fits, mismatch, names, waits
from lateen.kube.meta import Key, Object, annotations_of, key_of, meta, uid_of
from lateen.kube.quantity import parse
from lateen.kube.resources import PODS, PVCS, PVS, STORAGECLASSES
from lateen.reconcile import DONE, Controller, Result, Source

PROVISIONER = "lateen.dev/local"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
PROVISIONED_THROUGH = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
BY_CLAIM = "claim"
_EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. "
    "If volume creation is delayed, please verify that the provisioner is running and correctly registered."
)
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
STANDARD: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS: "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
}


def controller(kit: Kit) -> Controller:
    """The controller. A claim's key is its own; a volume's key has no namespace."""
    kit = kit.named("persistentvolume-controller")
    claims = kit.informer(PVCS)

    def waiting(_: Object) -> Iterable[Key]:
        return [key_of(c) for c in claims.list() if status_of(c).get("phase") != "Bound"]

    def of_volume(volume: Object) -> Iterable[Key]:
        ref = spec_of(volume).get("claimRef")
        return [key_of(volume), *([Key(ref["namespace"], ref["name"])] if ref else waiting(volume))]

    def volume_of(claim: Object) -> Iterable[Key]:
        return [Key("", name)] if (name := spec_of(claim).get("volumeName")) else ()

    return Controller(
        name="volumes",
        reconciler=VolumeReconciler(kit),
        sources=[
            Source(informer=claims),
            Source(informer=claims, keys=volume_of, predicate=lambda _, new: new is None),
            Source(informer=kit.informer(PVS), keys=of_volume),
            Source(informer=kit.informer(PODS), keys=_claims_of, predicate=_unplaced),
            Source(informer=kit.informer(STORAGECLASSES), keys=waiting, predicate=lambda _, new: new is not None),
        ],
        clock=kit.clock,
        workers=4,
    )


class VolumeReconciler:
    """Claims find volumes; volumes without their claim are reclaimed."""

    def __init__(self, kit: Kit) -> None:
        self._kit, self._provisioner = kit, kit.recorder.named(PROVISIONER)
        self._pods = kit.informer(PODS)
        self._pods.add_index(BY_CLAIM, lambda pod: map(str, _claims_of(pod)))
        self._claims, self._volumes = kit.informer(PVCS), kit.informer(PVS)
        self._classes = kit.informer(STORAGECLASSES)

    async def reconcile(self, key: Key) -> Result:
        if key.namespace:
            claim = self._claims.get(key)
            return DONE if claim is None or meta(claim).get("deletionTimestamp") else await self._bind(claim)
        volume = self._volumes.get(key)
        if volume is not None:
            await self._tend(volume)
        return DONE

    async def _bind(self, claim: Object) -> Result:
        name = spec_of(claim).get("volumeName")
        volume = self._volumes.get(Key("", name)) if name else None
        if status_of(claim).get("phase") == "Bound":
            await (self._lost(claim) if volume is None else self._grow(claim, volume))
            return DONE
        if name:
            return await self._finish(claim, volume)
        claim = await self._with_class(claim)
        volume = self._fitting(claim) or await self._provision(claim)
        return DONE if volume is None else await self._finish(claim, volume)

    async def _lost(self, claim: Object) -> None:
        self._kit.recorder.warning(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
        await self._kit.client.update_status(PVCS, {**claim, "status": {"phase": "Lost"}})

    async def _grow(self, claim: Object, volume: Object) -> None:
        """A folder holds what the disk does: a larger claim is only written down."""
        wanted = spec_of(claim)["resources"]["requests"]["storage"]
        if annotations_of(volume).get(PROVISIONED_BY) != PROVISIONER:
            return
        if parse(spec_of(volume)["capacity"]["storage"]) < parse(wanted):
            volume = await self._kit.client.patch(PVS, meta(volume)["name"], {"spec": {"capacity": {"storage": wanted}}})
        capacity = spec_of(volume)["capacity"]
        if status_of(claim).get("capacity") != capacity:
            await self._kit.client.update_status(PVCS, {**claim, "status": {**status_of(claim), "capacity": capacity}})
            self._kit.recorder.normal(claim, "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _with_class(self, claim: Object) -> Object:
        """A claim that names no class gets the default one, also when that came later than the claim."""
        default = default_class(self._classes.list())
        if spec_of(claim).get("storageClassName") is not None or default is None:
            return claim
        patch = {"spec": {"storageClassName": meta(default)["name"]}}
        return await self._kit.client.patch(PVCS, key_of(claim).name, patch, namespace=key_of(claim).namespace)

    async def _tend(self, volume: Object) -> None:
        """One volume by its claim: available, bound, or to be reclaimed."""
        ref = spec_of(volume).get("claimRef") or {}
        if not ref.get("uid"):
            if not meta(volume).get("deletionTimestamp"):
                await self._phase(volume, "Available")
            return
        claim = self._claims.get(Key(ref["namespace"], ref["name"]))
        if claim is None or uid_of(claim) != ref["uid"]:
            if await self._claim_gone(ref):
                await self._reclaim(volume)
        elif spec_of(claim).get("volumeName") == meta(volume)["name"]:
            await self._phase(volume, "Bound")

    async def _claim_gone(self, ref: dict[str, Any]) -> bool:
        """Data is deleted next: ask the server, not the cache."""
        try:
            found = await self._kit.client.get(PVCS, ref["name"], ref["namespace"])
        except NotFoundError:
            return True
        return bool(uid_of(found) != ref["uid"])

    async def _phase(self, volume: Object, phase: str) -> Object:
        if status_of(volume).get("phase") == phase:
            return volume
        return await self._kit.client.update_status(PVS, {**volume, "status": {**status_of(volume), "phase": phase}})

    async def _reclaim(self, volume: Object) -> None:
        """The claim is gone: the volume is deleted with its data, or kept as Released."""
        volume = await self._phase(volume, "Released")
        ours = annotations_of(volume).get(PROVISIONED_BY) == PROVISIONER
        if spec_of(volume).get("persistentVolumeReclaimPolicy") != "Delete" or not ours:
            return
        path = Path(spec_of(volume)["hostPath"]["path"])
        if path.parent != self._kit.settings.volumes:
            raise TerminalError(f"volume {meta(volume)['name']} lies outside of {self._kit.settings.volumes}: not deleted")
        try:
            await run_blocking(lambda: remove_folder(path))
        except OSError as error:
            self._kit.recorder.warning(volume, "VolumeFailedDelete", str(error))
            raise FailedError(f"cannot delete {path}: {error.strerror}") from error
        await self._kit.client.delete(PVS, meta(volume)["name"])

    def _fitting(self, claim: Object) -> Object | None:
        """The volume that names the claim, or the smallest free one that it accepts. Where the scheduler has to choose (by node),
        nothing is chosen here."""
        mine = [v for v in self._volumes.list() if names(v, claim)]
        if mine or waits(self._classes.get(Key("", spec_of(claim).get("storageClassName") or ""))):
            return mine[0] if mine else None
        free = [v for v in self._volumes.list() if not spec_of(v).get("claimRef") and fits(claim, v)]
        return min(free, key=lambda v: parse(spec_of(v)["capacity"]["storage"]), default=None)

    async def _provision(self, claim: Object) -> Object | None:
        """A new volume by the claim's class; None if it has to wait, or the class is somebody else's."""
        name = spec_of(claim).get("storageClassName")
        storage_class = self._classes.get(Key("", name)) if name else None
        if storage_class is None:
            self._without_class(claim)
            return None
        node = annotations_of(claim).get(SELECTED_NODE)
        if waits(storage_class) and not node:
            self._kit.recorder.normal(claim, *self._waits_for(claim))
            return None
        claim = await self._handed_over(claim, storage_class["provisioner"])
        if storage_class["provisioner"] != PROVISIONER:
            return None
        if spec_of(claim).get("volumeMode") == "Block":
            message = f'failed to provision volume with StorageClass "{name}": it has folders, not block devices'
            self._provisioner.warning(claim, "ProvisioningFailed", message)
            return None
        text = f'External provisioner is provisioning volume for claim "{key_of(claim)}"'
        self._provisioner.normal(claim, "Provisioning", text)
        volume = new_volume(claim, storage_class, self._kit.settings.volumes, node)
        path = Path(spec_of(volume)["hostPath"]["path"])
        try:
            await run_blocking(lambda: path.mkdir(parents=True, exist_ok=True))
        except OSError as error:
            message = f'failed to provision volume with StorageClass "{name}": {path}: {error.strerror}'
            self._provisioner.warning(claim, "ProvisioningFailed", message)
            raise FailedError(message) from error
        try:
            volume = await self._kit.client.create(PVS, volume)
        except AlreadyExistsError:
            volume = await self._kit.client.get(PVS, meta(volume)["name"])
        self._provisioner.normal(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {meta(volume)['name']}")
        return volume

    def _without_class(self, claim: Object) -> None:
        if name := spec_of(claim).get("storageClassName"):
            self._kit.recorder.warning(claim, "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
        else:
            text = "no persistent volumes available for this claim and no storage class is set"
            self._kit.recorder.normal(claim, "FailedBinding", text)

    def _waits_for(self, claim: Object) -> tuple[str, str]:
        """Reason and message for a claim that is bound where its pod goes."""
        pods = [p for p in self._pods.by_index(BY_CLAIM, str(key_of(claim))) if pod_active(p) and _unplaced(None, p)]
        if not pods:
            return "WaitForFirstConsumer", "waiting for first consumer to be created before binding"
        names = ",".join(sorted(meta(p)["name"] for p in pods))
        return "WaitForPodScheduled", f"waiting for pod{'s' if len(pods) > 1 else ''} {names} to be scheduled"

    async def _handed_over(self, claim: Object, provisioner: str) -> Object:
        """The claim with the notes that external provisioners look for."""
        if provisioner.startswith("kubernetes.io/"):
            self._kit.recorder.warning(claim, "ProvisioningFailed", f"no volume plugin matched name: {provisioner}")
            return claim
        if any(annotations_of(claim).get(a) != provisioner for a in PROVISIONED_THROUGH):
            patch = {"metadata": {"annotations": dict.fromkeys(PROVISIONED_THROUGH, provisioner)}}
            claim = await self._kit.client.patch(PVCS, key_of(claim).name, patch, namespace=key_of(claim).namespace)
        self._kit.recorder.normal(claim, "ExternalProvisioning", _EXTERNAL.format(provisioner))
        return claim

    async def _finish(self, claim: Object, volume: Object | None) -> Result:
        """Bind both ways: the volume names the claim, then the claim names the volume."""
        if volume is None:
            return DONE  # its volume may still come
        key, name = key_of(claim), meta(volume)["name"]
        ref = spec_of(volume).get("claimRef") or {}
        if ref and not names(volume, claim):
            if spec_of(claim).get("volumeName"):
                self._kit.recorder.warning(claim, "FailedBinding", f'volume "{name}" already bound to a different claim.')
            return DONE
        if spec_of(claim).get("volumeName") and not ref.get("uid") and (why := mismatch(claim, volume)):
            self._kit.recorder.warning(claim, "VolumeMismatch", f'Cannot bind to requested volume "{name}": {why}')
            return DONE
        if not ref.get("uid"):
            notes = {"annotations": {BOUND_BY: "yes"}, "resourceVersion": meta(volume)["resourceVersion"]}
            patch = {"metadata": notes, "spec": {"claimRef": claim_reference(claim)}}
            volume = await self._kit.client.patch(PVS, name, patch)
        volume = await self._phase(volume, "Bound")
        notes = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
        if not spec_of(claim).get("volumeName"):
            notes["annotations"][BOUND_BY] = "yes"
        claim = await self._kit.client.patch(
            PVCS, key.name, {"metadata": notes, "spec": {"volumeName": name}}, namespace=key.namespace
        )
        status = {"phase": "Bound", "accessModes": spec_of(volume)["accessModes"], "capacity": spec_of(volume)["capacity"]}
        await self._kit.client.update_status(PVCS, {**claim, "status": status})
        return DONE


def _claims_of(pod: Object) -> list[Key]:
    return [Key(key_of(pod).namespace, name) for name in claims_of(pod)]


def _unplaced(old: Object | None, new: Object | None) -> bool:
    """A pod came that has no node yet."""
    return old is None and new is not None and not spec_of(new).get("nodeName")


def default_class(classes: Iterable[Object]) -> Object | None:
    """The StorageClass marked as default; of several the newest."""
    marked = [c for c in classes if annotations_of(c).get(DEFAULT_CLASS) == "true"]
    return max(marked, key=lambda c: (meta(c).get("creationTimestamp") or "", meta(c)["name"]), default=None)


def remove_folder(path: Path) -> None:
    """Delete a tree; nothing happens if it is gone already."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return


def new_volume(claim: Object, storage_class: Object, folder: Path, node: str | None) -> Object:
    """The volume for a claim: a folder of its own under ``folder``."""
    name = f"pvc-{uid_of(claim)}"
    spec: dict[str, Any] = {
        "capacity": {"storage": spec_of(claim)["resources"]["requests"]["storage"]},
        "accessModes": spec_of(claim)["accessModes"],
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": meta(storage_class)["name"],
        "volumeMode": "Filesystem",
        "hostPath": {"path": str(folder / name), "type": "DirectoryOrCreate"},
        "claimRef": claim_reference(claim),
    }
    # Every node of the machine sees the same disk: a volume is not tied to the node that its first pod ran on.
    annotations = {PROVISIONED_BY: PROVISIONER} | ({SELECTED_NODE: node} if node else {})
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }
