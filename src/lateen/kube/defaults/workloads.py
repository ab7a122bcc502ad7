"""Workloads: apps, batch and autoscaling (pkg/apis/{apps,batch,autoscaling}/*/defaults.go)."""

from __future__ import annotations

from lateen.kube.defaults.base import Rule, fill, fill_numbers, items, part
from lateen.kube.defaults.pods import template
from lateen.kube.defaults.storage import claim
from lateen.kube.meta import Object

_HISTORY = 10
_PROGRESS_SECONDS = 600
_NO_LIMIT = 2**31 - 1


def deployment(obj: Object) -> None:
    """Deployment."""
    spec = part(obj, "spec")
    template(spec)
    fill(spec, replicas=1, revisionHistoryLimit=_HISTORY, progressDeadlineSeconds=_PROGRESS_SECONDS)
    strategy = part(spec, "strategy")
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(part(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")


def replica_set(obj: Object) -> None:
    """ReplicaSet."""
    spec = part(obj, "spec")
    fill(spec, replicas=1)
    template(spec)


def replication_controller(obj: Object) -> None:
    """ReplicationController: selector and labels come from the template."""
    replica_set(obj)
    spec = obj["spec"]
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels:
        spec["selector"] = spec.get("selector") or dict(labels)
        meta = part(obj, "metadata")
        meta["labels"] = meta.get("labels") or dict(labels)


def stateful_set(obj: Object) -> None:
    """StatefulSet."""
    spec = part(obj, "spec")
    template(spec)
    fill(spec, podManagementPolicy="OrderedReady", replicas=1, revisionHistoryLimit=_HISTORY)
    strategy = part(spec, "updateStrategy")
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(part(strategy, "rollingUpdate"), partition=0)
    fill(part(spec, "persistentVolumeClaimRetentionPolicy"), whenDeleted="Retain", whenScaled="Retain")
    for found in items(spec, "volumeClaimTemplates"):
        fill(found, apiVersion="v1", kind="PersistentVolumeClaim")
        claim(found)


def daemon_set(obj: Object) -> None:
    """DaemonSet."""
    spec = part(obj, "spec")
    template(spec)
    fill(spec, revisionHistoryLimit=_HISTORY)
    strategy = part(spec, "updateStrategy")
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(part(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)


def job(obj: Object) -> None:
    """Job. Its generated selector is the API server's, for it needs the uid."""
    spec = part(obj, "spec")
    _job_spec(spec)
    template(spec)
    labels = (spec["template"].get("metadata") or {}).get("labels")
    meta = part(obj, "metadata")
    if labels and not meta.get("labels"):
        meta["labels"] = dict(labels)


def _job_spec(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        fill(spec, completions=1)
    per_index = spec.get("backoffLimitPerIndex") is not None
    fill(spec, parallelism=1, backoffLimit=_NO_LIMIT if per_index else 6, completionMode="NonIndexed", suspend=False)
    fill(spec, manualSelector=False)
    fill(spec, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")


def cron_job(obj: Object) -> None:
    """CronJob; a Job's own defaults come when the Job is made, its pods' here."""
    spec = part(obj, "spec")
    fill(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template(part(part(spec, "jobTemplate"), "spec"))


def autoscaler(obj: Object) -> None:
    """HorizontalPodAutoscaler. Its behavior gets defaults only where there is some."""
    spec = part(obj, "spec")
    fill(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if spec.get("behavior") is not None:
        _scaling(part(spec["behavior"], "scaleUp"), _FASTER, stabilizationWindowSeconds=0)
        _scaling(part(spec["behavior"], "scaleDown"), (("Percent", 100),))


def _scaling(rules: Object, policies: tuple[tuple[str, int], ...], **more: int) -> None:
    fill(rules, selectPolicy="Max", **more)
    if not rules.get("policies"):
        rules["policies"] = [{"type": kind, "value": value, "periodSeconds": 15} for kind, value in policies]


_FASTER = (("Pods", 4), ("Percent", 100))


def pod_template(obj: Object) -> None:
    """PodTemplate."""
    template(obj)


def priority_class(obj: Object) -> None:
    """PriorityClass."""
    fill(obj, preemptionPolicy="PreemptLowerPriority")
    fill_numbers(obj, value=0)


RULES: dict[tuple[str, str], Rule] = {
    ("apps", "Deployment"): deployment,
    ("apps", "ReplicaSet"): replica_set,
    ("apps", "StatefulSet"): stateful_set,
    ("apps", "DaemonSet"): daemon_set,
    ("batch", "Job"): job,
    ("batch", "CronJob"): cron_job,
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaler,
    ("", "ReplicationController"): replication_controller,
    ("", "PodTemplate"): pod_template,
    ("scheduling.k8s.io", "PriorityClass"): priority_class,
}
