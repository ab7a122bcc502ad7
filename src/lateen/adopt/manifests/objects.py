"""Objects as an author would write them: without what a server adds or defaults; and when two objects are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lateen.kube import defaults
from lateen.kube.meta import Object, edit, meta

_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp")
_LABELS = ("lateen.dev/app", "kubernetes.io/metadata.name")
_NOTES = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision", "lateen.dev/app")
_NOTE_STARTS = (
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "deprecated.daemonset.template.generation",
    "batch.kubernetes.io/job-tracking",
)
_JOB_LABELS = ("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name")
_ASSIGNED = {
    "Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"),
    "PersistentVolumeClaim": ("volumeName",),
    "Namespace": ("finalizers",),
}
_HOLLOW = (
    "metadata",
    "securityContext",
    "resources",
    "labels",
    "annotations",
    "strategy",
    "updateStrategy",
    "limits",
    "requests",
    "rollingUpdate",
)
_CLUSTER_WIDE = (
    *("Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PersistentVolume"),
    *("StorageClass", "IngressClass", "GatewayClass", "RuntimeClass", "ClusterIssuer", "ValidatingWebhookConfiguration"),
    *("MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "APIService", "Node"),
)
_MADE = ("Event", "Endpoints", "EndpointSlice", "ControllerRevision", "Lease", "PodMetrics")


@dataclass(frozen=True, slots=True)
class Given:
    """An object, and where it stands: ``file:line:column``, or its place in a cluster."""

    obj: Object
    where: str


Key = tuple[str, str]


def key(obj: Object) -> Key:
    """Kind and name: what a patch finds an object by."""
    return str(obj.get("kind")), str(meta(obj).get("name"))


def is_made(obj: Object) -> bool:
    """Whether the cluster makes the object by itself, so that nobody declares it."""
    kind, name = key(obj)
    owned = bool(meta(obj).get("ownerReferences"))
    token = kind == "Secret" and obj.get("type") in ("kubernetes.io/service-account-token", "helm.sh/release.v1")
    standing = (kind, name) in (("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt"))
    inventory = (meta(obj).get("annotations") or {}).get("lateen.dev/inventory") is not None or name.startswith("lateen-inventory")
    return owned or kind in _MADE or token or standing or inventory


def cleaned(obj: Object, namespace: str) -> Object:
    """A copy without what the server writes, in ``namespace`` if it names none."""
    result: Object = {k: edit(v) for k, v in obj.items() if k != "status"}
    metadata = {k: v for k, v in meta(result).items() if k not in _SERVER and v not in (None, {}, [])}
    if notes := {k: v for k, v in (metadata.get("annotations") or {}).items() if not (k in _NOTES or k.startswith(_NOTE_STARTS))}:
        metadata["annotations"] = notes
    else:
        metadata.pop("annotations", None)
    if isinstance(metadata.get("labels"), dict):
        metadata["labels"] = {k: v for k, v in metadata["labels"].items() if k not in _LABELS}
    if result.get("kind") not in _CLUSTER_WIDE:
        metadata.setdefault("namespace", namespace)
    result["metadata"] = metadata
    spec = result.get("spec")
    if isinstance(spec, dict):
        _unassign(str(result.get("kind")), spec)
    if result.get("kind") == "Namespace" and not spec:
        result.pop("spec", None)
    return result


def _unassign(kind: str, spec: dict[str, Any]) -> None:
    headless = spec.get("clusterIP") == "None"
    for field in _ASSIGNED.get(kind, ()):
        if not (field == "clusterIP" and headless):
            spec.pop(field, None)
    if kind == "Service":
        for port in spec.get("ports") or ():
            port.pop("nodePort" if spec.get("type") == "LoadBalancer" else "", None)
    template = spec.get("template")
    if kind == "Job" and isinstance(template, dict) and not spec.get("manualSelector"):
        spec.pop("selector", None)
        labels = meta(template).get("labels") or {}
        for name in _JOB_LABELS:
            labels.pop(name, None)


def normal(obj: Object, namespace: str) -> Object:
    """The object with every default and no empty field: two objects that mean the same have one normal form."""
    result = cleaned(obj, namespace)
    defaults.apply(result)
    result.pop("status", None)
    found: Object = _pruned(result)
    return found


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {k: _pruned(v) for k, v in value.items()}
        return {k: v for k, v in inner.items() if v is not None and v != [] and not (v == {} and k in _HOLLOW)}
    return [_pruned(v) for v in value] if isinstance(value, list) else value


def minimal(obj: Object, namespace: str) -> Object:
    """The object without what Kubernetes would fill in anyway."""
    result = _pruned(cleaned(obj, namespace))
    wanted = normal(result, namespace)
    for holder, field in list(_candidates(result)):
        if field not in holder:
            continue
        value = holder.pop(field)
        if normal(result, namespace) != wanted:
            holder[field] = value
    found: Object = _pruned(result)
    return found


_DEFAULTED = frozenset(
    (
        *("protocol", "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "restartPolicy", "dnsPolicy"),
        *("schedulerName", "terminationGracePeriodSeconds", "enableServiceLinks", "defaultMode", "timeoutSeconds"),
        *("periodSeconds", "successThreshold", "failureThreshold", "scheme", "apiVersion", "revisionHistoryLimit"),
        *("progressDeadlineSeconds", "podManagementPolicy", "persistentVolumeClaimRetentionPolicy", "sessionAffinity", "type"),
        *("internalTrafficPolicy", "externalTrafficPolicy", "allocateLoadBalancerNodePorts", "volumeMode", "completionMode"),
        *("suspend", "manualSelector", "podReplacementPolicy", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"),
        *("concurrencyPolicy", "partition", "maxUnavailable", "maxSurge", "rollingUpdate", "strategy", "updateStrategy"),
        *("replicas", "backoffLimit", "kind", "minReplicas", "serviceAccount", "path", "behavior"),
        *("storageClassName", "preemptionPolicy", "whenDeleted", "whenScaled", "targetPort", "nodeTaintsPolicy"),
    )
)


def _candidates(value: Any, depth: int = 0) -> Iterator[tuple[dict[str, Any], str]]:
    """Fields that may be defaults, the inner ones first; an object's own apiVersion and kind are none."""
    if isinstance(value, dict):
        for name in list(value):
            yield from _candidates(value[name], depth + 1)
            if name in _DEFAULTED and not (depth == 0 and name in ("apiVersion", "kind")):
                yield value, name
    elif isinstance(value, list):
        for item in value:
            yield from _candidates(item, depth + 1)
