"""Semantic validation of built-in kinds, in Kubernetes' words. A file per kind; the API server calls :func:`validate`.

Types and unknown fields are ``kube.schemas``' part; custom resources are validated by their own schema.
"""

from __future__ import annotations

from lateen.kube.meta import Object
from lateen.kube.validation import (
    autoscaler,
    claim,
    configmap,
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpointslice,
    ephemeral,
    job,
    namespace,
    plain,
    pod,
    policies,
    priority,
    quotas,
    rbac,
    replicaset,
    replicationcontroller,
    resize,
    secret,
    service,
    statefulset,
    volume,
)
from lateen.kube.validation.base import Rule
from lateen.kube.validation.errors import FieldError, causes, message

__all__ = ["FieldError", "causes", "message", "validate"]

_RULES: dict[tuple[str, str], Rule] = {
    ("", "Pod"): pod.pod,
    ("", "Namespace"): namespace.namespace,
    ("", "Service"): service.service,
    ("", "ConfigMap"): configmap.config_map,
    ("", "Secret"): secret.secret,
    ("", "PersistentVolumeClaim"): claim.claim,
    ("", "PersistentVolume"): volume.volume,
    ("", "ReplicationController"): replicationcontroller.replication_controller,
    ("", "ResourceQuota"): quotas.resource_quota,
    ("", "LimitRange"): policies.limit_range,
    ("", "Node"): policies.node,
    ("storage.k8s.io", "StorageClass"): policies.storage_class,
    ("node.k8s.io", "RuntimeClass"): policies.runtime_class,
    ("networking.k8s.io", "NetworkPolicy"): policies.network_policy,
    ("coordination.k8s.io", "Lease"): policies.lease,
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaler.autoscaler,
    ("apps", "Deployment"): deployment.deployment,
    ("apps", "ReplicaSet"): replicaset.replica_set,
    ("apps", "StatefulSet"): statefulset.stateful_set,
    ("apps", "DaemonSet"): daemonset.daemon_set,
    ("batch", "Job"): job.job,
    ("batch", "CronJob"): cronjob.cron_job,
    ("discovery.k8s.io", "EndpointSlice"): endpointslice.endpoint_slice,
    ("policy", "PodDisruptionBudget"): disruption.disruption_budget,
    ("scheduling.k8s.io", "PriorityClass"): priority.priority_class,
    (rbac.GROUP, "Role"): rbac.role,
    (rbac.GROUP, "ClusterRole"): rbac.cluster_role,
    (rbac.GROUP, "RoleBinding"): rbac.role_binding,
    (rbac.GROUP, "ClusterRoleBinding"): rbac.cluster_role_binding,
    ("apiregistration.k8s.io", "APIService"): plain.path_named,
}
# Writes that the kind's rules for the main resource do not fit: each has its own checks where it is served.
_METADATA_ONLY = ("status", "binding", "finalize", "approval")


def validate(obj: Object, old: Object | None = None, *, subresource: str = "") -> list[FieldError]:
    """What is wrong with ``obj``, which replaces ``old`` (None: it is created). Empty when nothing is.

    Expects defaults to be applied and types to be right. ``subresource`` is the one written to: there only metadata is checked.
    """
    if subresource == "ephemeralcontainers":
        return list(ephemeral.update(obj, old))
    if subresource == "resize":
        return list(resize.update(obj, old))
    rule = plain.path_named if subresource in _METADATA_ONLY else _rule(obj)
    return list(rule(obj, old))


def _rule(obj: Object) -> Rule:
    group, _, _ = str(obj.get("apiVersion") or "").rpartition("/")
    return _RULES.get((group, str(obj.get("kind"))), plain.plain)
