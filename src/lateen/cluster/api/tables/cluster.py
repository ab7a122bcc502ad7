"""rbac, storage, scheduling, node, admission, certificates, apiextensions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lateen.cluster.api.tables.base import AGE, CREATED, NAME, NONE, Column, at, count, dig, human_duration, joined, number, text
from lateen.kube.meta import Object

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _subjects(kind: str) -> Column:
    def cell(obj: Object, _: datetime) -> str:
        found = [s for s in obj.get("subjects") or () if s.get("kind") == kind]
        return ", ".join(f"{s.get('namespace', '')}/{s['name']}" if kind == "ServiceAccount" else s["name"] for s in found)

    return Column(f"{kind}s", cell, priority=1)


def _role(obj: Object, _: datetime) -> str:
    return f"{dig(obj, 'roleRef', 'kind')}/{dig(obj, 'roleRef', 'name')}"


def _class_name(obj: Object, _: datetime) -> str:
    default = (dig(obj, "metadata", "annotations") or {}).get(_DEFAULT_CLASS) == "true"
    return f"{dig(obj, 'metadata', 'name')} (default)" if default else str(dig(obj, "metadata", "name"))


def _csr_condition(obj: Object, _: datetime) -> str:
    kinds = [c["type"] for c in dig(obj, "status", "conditions") or ()]
    return ",".join(kinds or ["Pending"]) + (",Issued" if dig(obj, "status", "certificate") else "")


def _csr_duration(obj: Object, _: datetime) -> str:
    seconds = dig(obj, "spec", "expirationSeconds")
    return NONE if seconds is None else human_duration(float(seconds))


def _param_kind(obj: Object, _: datetime) -> str:
    kind = dig(obj, "spec", "paramKind")
    return f"{kind['apiVersion']}/{kind['kind']}" if kind else "<unset>"


def _service(obj: Object, _: datetime) -> str:
    ref = dig(obj, "spec", "service")
    return f"{ref.get('namespace')}/{ref.get('name')}" if ref else "Local"


def _driver_modes(obj: Object, _: datetime) -> str:
    return joined(dig(obj, "spec", "volumeLifecycleModes") or (), default="<unset>")


def _available(obj: Object, _: datetime) -> str:
    found = next((c for c in dig(obj, "status", "conditions") or () if c.get("type") == "Available"), None)
    if found is None:
        return "Unknown"
    return "True" if found.get("status") == "True" else f"{found.get('status')} ({found.get('reason')})"


_BINDING = (NAME, Column("Role", _role), AGE, _subjects("User"), _subjects("Group"), _subjects("ServiceAccount"))
_WEBHOOKS = (NAME, Column("Webhooks", count("webhooks"), type="integer"), AGE)

KINDS: Mapping[str, tuple[Column, ...]] = {
    "rbac.authorization.k8s.io/roles": (NAME, CREATED),
    "rbac.authorization.k8s.io/clusterroles": (NAME, CREATED),
    "rbac.authorization.k8s.io/rolebindings": _BINDING,
    "rbac.authorization.k8s.io/clusterrolebindings": _BINDING,
    "storage.k8s.io/storageclasses": (
        Column("Name", _class_name, format="name"),
        Column("Provisioner", at("provisioner")),
        Column("ReclaimPolicy", at("reclaimPolicy", default="Delete")),
        Column("VolumeBindingMode", at("volumeBindingMode", default="Immediate")),
        Column("AllowVolumeExpansion", text("allowVolumeExpansion", default="false")),
        AGE,
    ),
    "storage.k8s.io/volumeattachments": (
        NAME,
        Column("Attacher", at("spec", "attacher"), format="name"),
        Column("PV", at("spec", "source", "persistentVolumeName")),
        Column("Node", at("spec", "nodeName")),
        Column("Attached", text("status", "attached", default="false")),
        AGE,
    ),
    "storage.k8s.io/csidrivers": (
        NAME,
        Column("AttachRequired", text("spec", "attachRequired", default="true")),
        Column("PodInfoOnMount", text("spec", "podInfoOnMount", default="false")),
        Column("StorageCapacity", text("spec", "storageCapacity", default="false")),
        Column(
            "TokenRequests",
            lambda o, _: joined((t.get("audience", "") for t in dig(o, "spec", "tokenRequests") or ()), default="<unset>"),
        ),
        Column("RequiresRepublish", text("spec", "requiresRepublish", default="false")),
        Column("Modes", _driver_modes),
        AGE,
    ),
    "storage.k8s.io/csinodes": (NAME, Column("Drivers", count("spec", "drivers"), type="integer"), AGE),
    "storage.k8s.io/volumeattributesclasses": (NAME, Column("DriverName", at("driverName")), AGE),
    "scheduling.k8s.io/priorityclasses": (
        NAME,
        Column("Value", number("value"), type="integer"),
        Column("Global-Default", lambda o, _: bool(o.get("globalDefault")), type="boolean"),
        AGE,
        Column("PreemptionPolicy", at("preemptionPolicy", default="PreemptLowerPriority"), priority=1),
    ),
    "node.k8s.io/runtimeclasses": (NAME, Column("Handler", at("handler")), AGE),
    "admissionregistration.k8s.io/validatingwebhookconfigurations": _WEBHOOKS,
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": _WEBHOOKS,
    "admissionregistration.k8s.io/validatingadmissionpolicies": (
        NAME,
        Column("Validations", count("spec", "validations"), type="integer"),
        Column("ParamKind", _param_kind),
        AGE,
    ),
    "admissionregistration.k8s.io/validatingadmissionpolicybindings": (
        NAME,
        Column("PolicyName", at("spec", "policyName")),
        Column("ParamRef", lambda o, _: str(dig(o, "spec", "paramRef", "name") or "<unset>")),
        AGE,
    ),
    "certificates.k8s.io/certificatesigningrequests": (
        NAME,
        AGE,
        Column("SignerName", at("spec", "signerName")),
        Column("Requestor", at("spec", "username")),
        Column("RequestedDuration", _csr_duration),
        Column("Condition", _csr_condition),
    ),
    "apiextensions.k8s.io/customresourcedefinitions": (NAME, CREATED),
    "apiregistration.k8s.io/apiservices": (NAME, Column("Service", _service), Column("Available", _available), AGE),
}
