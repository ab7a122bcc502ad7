"""How an object is: a pure rule per kind, found by group and kind. Called by ``apply.wait`` for every object after every change."""

from __future__ import annotations

from collections.abc import Callable

from lateen.apply.health import cluster, daemonset, deployment, gateway, job, pod, replicaset, service, statefulset, storage
from lateen.apply.health.seam import HEALTHY, PATIENT, Health, Patience, State, View
from lateen.apply.refs import group_of
from lateen.kube.meta import Object

Rule = Callable[[Object, View], Health]
_RULES: dict[tuple[str, str], Rule] = {
    ("", "Pod"): pod.assess,
    ("", "Service"): service.assess,
    ("", "PersistentVolumeClaim"): storage.assess,
    ("", "Namespace"): cluster.assess_namespace,
    ("", "ReplicationController"): replicaset.assess,
    ("apps", "Deployment"): deployment.assess,
    ("apps", "ReplicaSet"): replicaset.assess,
    ("apps", "StatefulSet"): statefulset.assess,
    ("apps", "DaemonSet"): daemonset.assess,
    ("batch", "Job"): job.assess,
    ("batch", "CronJob"): job.assess_cron,
    ("policy", "PodDisruptionBudget"): cluster.assess_budget,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): cluster.assess_definition,
    ("gateway.networking.k8s.io", "Gateway"): gateway.assess_gateway,
    ("gateway.networking.k8s.io", "HTTPRoute"): gateway.assess_route,
    ("gateway.networking.k8s.io", "GRPCRoute"): gateway.assess_route,
}


def assess(obj: Object | None, view: View) -> Health:
    """The health of an object, by its kind's rule; None is Missing."""
    if obj is None:
        return Health(State.missing, "does not exist")
    return _RULES.get((group_of(obj["apiVersion"]), obj["kind"]), cluster.assess_generic)(obj, view)


__all__ = ["HEALTHY", "PATIENT", "Health", "Patience", "State", "View", "assess"]
