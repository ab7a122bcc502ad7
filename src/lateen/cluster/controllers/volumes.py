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
from lateen.cluster.controllers.kit import Kit, spec_of, status_of
from lateen.errors import AlreadyExistsError, NotFoundError
from lateen.kube.meta import Key, Object, annotations_of, key_of, labels_of, meta, uid_of
from lateen.kube.quantity import parse
from lateen.kube.resources import PODS, PVCS, PVS, STORAGECLASSES
from lateen.kube.selectors import from_selector
from lateen.reconcile import DONE, Controller, Result, Source

PROVISIONER = "lateen.dev/local"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROTECTED = "kubernetes.io/pvc-protection"
STANDARD: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS: "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def controller(kit: Kit) -> Controller:
    """The controller, fed by claims, volumes, and the end of pods that used a claim."""
    claims = kit.informer(PVCS)

    def of_volume(volume: Object) -> Iterable[Key]:
        ref = spec_of(volume).get("claimRef")
        waiting = [key_of(c) for c in claims.list() if not spec_of(c).get("volumeName")]
        return [Key(ref["namespace"], ref["name"])] if ref else waiting

    def of_pod(pod: Object) -> Iterable[Key]:
        return [Key(key_of(pod).namespace, name) for name in claims_of(pod)]

    return Controller(
        name="volumes",
        reconciler=VolumeReconciler(kit),
        sources=[
            Source(informer=claims),
            Source(informer=kit.informer(PVS), keys=of_volume),
            Source(informer=kit.informer(PODS), keys=of_pod, predicate=lambda _, new: new is None),
        ],
        clock=kit.clock,
        workers=4,
    )


def claims_of(pod: Object) -> list[str]:
    """The names of the claims that a pod mounts."""
    found = ((v.get("persistentVolumeClaim") or {}).get("claimName") for v in spec_of(pod).get("volumes") or ())
    return [name for name in found if name]


class VolumeReconciler:
    """One claim and its volume."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._claims, self._volumes, self._pods = kit.informer(PVCS), kit.informer(PVS), kit.informer(PODS)
        self._classes = kit.informer(STORAGECLASSES)

    async def reconcile(self, key: Key) -> Result:
        claim = self._claims.get(key)
        if claim is None:
            await self._reclaim(key)
            return DONE
        if meta(claim).get("deletionTimestamp"):
            await self._release(claim)
            return DONE
        if PROTECTED not in (meta(claim).get("finalizers") or ()):
            finalizers = [*(meta(claim).get("finalizers") or ()), PROTECTED]
            claim = await self._kit.client.patch(PVCS, key.name, {"metadata": {"finalizers": finalizers}}, namespace=key.namespace)
        if status_of(claim).get("phase") == "Bound":
            return DONE
        if spec_of(claim).get("volumeName"):
            return await self._finish(claim, self._volumes.get(Key("", spec_of(claim)["volumeName"])))
        volume = self._fitting(claim) or await self._provision(claim)
        return DONE if volume is None else await self._finish(claim, volume)

    def _fitting(self, claim: Object) -> Object | None:
        """The smallest free volume that the claim accepts, or the one that names it."""
        key = key_of(claim)
        mine = [v for v in self._volumes.list() if _names(v, key) and (spec_of(v)["claimRef"].get("uid") in (None, uid_of(claim)))]
        if mine:
            return mine[0]
        free = [v for v in self._volumes.list() if not spec_of(v).get("claimRef") and fits(claim, v)]
        return min(free, key=lambda v: parse(spec_of(v)["capacity"]["storage"]), default=None)

    async def _provision(self, claim: Object) -> Object | None:
        """A new volume by the claim's class; None if it has to wait, or the class is somebody else's."""
        name = spec_of(claim).get("storageClassName")
        storage_class = self._classes.get(Key("", name)) if name else None
        if storage_class is None or storage_class.get("provisioner") != PROVISIONER:
            if name and storage_class is None:
                self._kit.recorder.warning(claim, "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
            return None
        node = annotations_of(claim).get(SELECTED_NODE)
        if storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and not node:
            self._kit.recorder.normal(claim, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
            return None
        volume = new_volume(claim, storage_class, self._kit.settings.volumes, node)
        await run_blocking(lambda: Path(spec_of(volume)["hostPath"]["path"]).mkdir(parents=True, exist_ok=True))
        try:
            volume = await self._kit.client.create(PVS, volume)
        except AlreadyExistsError:
            volume = await self._kit.client.get(PVS, meta(volume)["name"])
        self._kit.recorder.normal(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {meta(volume)['name']}")
        return volume

    async def _finish(self, claim: Object, volume: Object | None) -> Result:
        """Bind both ways: the volume names the claim, then the claim names the volume."""
        if volume is None:
            return DONE  # its volume may still come
        key, name = key_of(claim), meta(volume)["name"]
        ref = spec_of(volume).get("claimRef") or {}
        if ref.get("uid") and ref["uid"] != uid_of(claim):
            return DONE
        if not ref.get("uid"):
            reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": key.namespace, "name": key.name}
            patch = {"spec": {"claimRef": {**reference, "uid": uid_of(claim)}}}
            volume = await self._kit.client.patch(PVS, name, patch)
        if status_of(volume).get("phase") != "Bound":
            await self._kit.client.update_status(PVS, {**volume, "status": {**status_of(volume), "phase": "Bound"}})
        if not spec_of(claim).get("volumeName"):
            patch = {"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": name}}
            claim = await self._kit.client.patch(PVCS, key.name, patch, namespace=key.namespace)
        status = {"phase": "Bound", "accessModes": spec_of(volume)["accessModes"], "capacity": spec_of(volume)["capacity"]}
        await self._kit.client.update_status(PVCS, {**claim, "status": status})
        return DONE

    async def _release(self, claim: Object) -> None:
        """A claim on its way out goes once no pod uses it."""
        key = key_of(claim)
        used = any(key.name in claims_of(p) for p in self._pods.list(key.namespace) if status_of(p).get("phase") not in _FINISHED)
        finalizers = meta(claim).get("finalizers") or []
        if not used and PROTECTED in finalizers:
            patch = {"metadata": {"finalizers": [f for f in finalizers if f != PROTECTED] or None}}
            try:
                await self._kit.client.patch(PVCS, key.name, patch, namespace=key.namespace)
            except NotFoundError:
                return

    async def _reclaim(self, key: Key) -> None:
        """The claim is gone: its volume is deleted with its data, or kept as Released."""
        for volume in [v for v in self._volumes.list() if _names(v, key)]:
            name = meta(volume)["name"]
            ours = annotations_of(volume).get(PROVISIONED_BY) == PROVISIONER
            if spec_of(volume).get("persistentVolumeReclaimPolicy") == "Delete" and ours:
                path = Path(spec_of(volume)["hostPath"]["path"])
                if path.is_relative_to(self._kit.settings.volumes):
                    await run_blocking(lambda p=path: shutil.rmtree(p, ignore_errors=True))  # type: ignore[misc]
                await self._kit.client.delete(PVS, name)
            elif status_of(volume).get("phase") != "Released":
                await self._kit.client.update_status(PVS, {**volume, "status": {**status_of(volume), "phase": "Released"}})


_FINISHED = ("Succeeded", "Failed")


def _names(volume: Object, key: Key) -> bool:
    ref = spec_of(volume).get("claimRef")
    return ref is not None and (ref["namespace"], ref["name"]) == tuple(key)


def fits(claim: Object, volume: Object) -> bool:
    """Whether a free volume has the class, modes, size and labels that the claim asks for."""
    wanted, offered = spec_of(claim), spec_of(volume)
    size = ((wanted.get("resources") or {}).get("requests") or {}).get("storage", "0")
    return (
        (wanted.get("storageClassName") or "") == (offered.get("storageClassName") or "")
        and set(wanted.get("accessModes") or ()) <= set(offered.get("accessModes") or ())
        and wanted.get("volumeMode", "Filesystem") == offered.get("volumeMode", "Filesystem")
        and parse(offered["capacity"]["storage"]) >= parse(size)
        and (wanted.get("selector") is None or from_selector(wanted["selector"])(labels_of(volume)))
        and not meta(volume).get("deletionTimestamp")
    )


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
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": key_of(claim).namespace,
            "name": key_of(claim).name,
            "uid": uid_of(claim),
        },
    }
    # Every node of the machine sees the same disk: a volume is not tied to the node that its first pod ran on.
    annotations = {PROVISIONED_BY: PROVISIONER} | ({SELECTED_NODE: node} if node else {})
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }
