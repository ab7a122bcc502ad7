"""Resources until kube.resources.BUILTIN is written. To be deleted."""

from lateen.kube.resources import Resource

_N = {
    (
        "",
        "v1",
    ): "pods:Pod configmaps:ConfigMap secrets:Secret services:Service serviceaccounts:ServiceAccount endpoints:Endpoints events:Event persistentvolumeclaims:PersistentVolumeClaim replicationcontrollers:ReplicationController podtemplates:PodTemplate limitranges:LimitRange resourcequotas:ResourceQuota",
    (
        "apps",
        "v1",
    ): "deployments:Deployment replicasets:ReplicaSet statefulsets:StatefulSet daemonsets:DaemonSet controllerrevisions:ControllerRevision",
    ("batch", "v1"): "jobs:Job cronjobs:CronJob",
    ("policy", "v1"): "poddisruptionbudgets:PodDisruptionBudget",
    ("discovery.k8s.io", "v1"): "endpointslices:EndpointSlice",
    ("coordination.k8s.io", "v1"): "leases:Lease",
    ("networking.k8s.io", "v1"): "ingresses:Ingress networkpolicies:NetworkPolicy",
    ("rbac.authorization.k8s.io", "v1"): "roles:Role rolebindings:RoleBinding",
    ("autoscaling", "v2"): "horizontalpodautoscalers:HorizontalPodAutoscaler",
}
_C = {
    ("", "v1"): "namespaces:Namespace nodes:Node persistentvolumes:PersistentVolume",
    ("rbac.authorization.k8s.io", "v1"): "clusterroles:ClusterRole clusterrolebindings:ClusterRoleBinding",
    ("storage.k8s.io", "v1"): "storageclasses:StorageClass",
    ("scheduling.k8s.io", "v1"): "priorityclasses:PriorityClass",
    ("apiextensions.k8s.io", "v1"): "customresourcedefinitions:CustomResourceDefinition",
    ("networking.k8s.io", "v1"): "ingressclasses:IngressClass",
}
_PLAIN = [
    "configmaps",
    "secrets",
    "serviceaccounts",
    "endpoints",
    "events",
    "limitranges",
    "controllerrevisions",
    "endpointslices",
    "leases",
    "roles",
    "rolebindings",
    "clusterroles",
    "clusterrolebindings",
    "storageclasses",
    "priorityclasses",
    "podtemplates",
    "ingressclasses",
]
STOPGAP = tuple(
    Resource(
        group=g, version=v, kind=k, plural=p, namespaced=ns, singular=k.lower(), subresources=() if p in _PLAIN else ("status",)
    )
    for table, ns in ((_N, True), (_C, False))
    for (g, v), text in table.items()
    for p, k in (x.split(":") for x in text.split())
)
