"""Which volume a claim accepts, and which claims a pod has. Pure; asked by the volume controller and, node by node, by the
scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.kube.meta import Object, controller_of, labels_of, meta
from lateen.kube.quantity import parse
from lateen.kube.selectors import from_selector

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BOUND_BY = "pv.kubernetes.io/bound-by-controller"


def claims_of(pod: Object) -> list[str]:
    """The names of the claims that a pod's volumes are."""
    found = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            found.append(ephemeral_claim(pod, volume))
    return found


def ephemeral_claim(pod: Object, volume: Mapping[str, Any]) -> str:
    """The name of the claim that is made for a generic ephemeral volume."""
    return f"{meta(pod)['name']}-{volume['name']}"


def made_for(pod: Object, claim: Object) -> bool:
    """Whether the claim is the pod's own."""
    owner = controller_of(claim)
    return owner is not None and owner["uid"] == meta(pod).get("uid")


def fits(claim: Object, volume: Object) -> bool:
    """Whether a free volume has the class, modes, size and labels that the claim asks for."""
    wanted, offered = claim["spec"], volume["spec"]
    size = ((wanted.get("resources") or {}).get("requests") or {}).get("storage", "0")
    return (
        (wanted.get("storageClassName") or "") == (offered.get("storageClassName") or "")
        and set(wanted.get("accessModes") or ()) <= set(offered.get("accessModes") or ())
        and wanted.get("volumeMode", "Filesystem") == offered.get("volumeMode", "Filesystem")
        and parse(offered["capacity"]["storage"]) >= parse(size)
        and (wanted.get("selector") is None or from_selector(wanted["selector"])(labels_of(volume)))
        and not meta(volume).get("deletionTimestamp")
    )


def mismatch(claim: Object, volume: Object) -> str:
    """Why a claim cannot have the volume that it asks for by name, in Kubernetes' words; empty if it can."""
    wanted, offered = claim["spec"], volume["spec"]
    size = ((wanted.get("resources") or {}).get("requests") or {}).get("storage", "0")
    if parse(offered["capacity"]["storage"]) < parse(size):
        return "requested PV is too small"
    if (wanted.get("storageClassName") or "") != (offered.get("storageClassName") or ""):
        return "storageClassName does not match"
    if wanted.get("volumeMode", "Filesystem") != offered.get("volumeMode", "Filesystem"):
        return "incompatible volumeMode"
    return "" if set(wanted.get("accessModes") or ()) <= set(offered.get("accessModes") or ()) else "incompatible accessMode"


def names(volume: Object, claim: Object) -> bool:
    """Whether the volume is kept for this very claim."""
    ref, m = volume["spec"].get("claimRef"), meta(claim)
    if not ref or (ref.get("namespace"), ref.get("name")) != (m["namespace"], m["name"]):
        return False
    return ref.get("uid") in (None, "", m.get("uid"))


def waits(storage_class: Object | None) -> bool:
    """Whether claims of the class are bound only when a pod uses them."""
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def claim_reference(claim: Object) -> Object:
    """The ``claimRef`` that gives a volume to the claim."""
    m = meta(claim)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": m["namespace"],
        "name": m["name"],
        "uid": m["uid"],
    }
