"""The resources of Kubernetes 1.37 as data: names, scope, verbs, subresources. Read by the client, the API server, the CLI.

``builtin`` is read once from the package's extract (scripts/extract_schemas.py writes it). CustomResourceDefinitions add
more at run time, in the API server; a client learns those by discovery.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of one API version. ``plural`` is the path segment; ``group`` is empty for the core group."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``pods`` or ``deployments.apps``: the name in messages and in RBAC."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The request path. A namespaced resource without namespace means all namespaces."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{namespace}")
        parts += [p for p in (self.plural, name, subresource) if p]
        return "/".join(parts)


def _r(
    group: str, version: str, kind: str, plural: str, *, namespaced: bool = True, short: str = "", sub: str = "status"
) -> Resource:
    return Resource(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        namespaced=namespaced,
        singular=kind.lower(),
        short_names=tuple(short.split()),
        subresources=tuple(sub.split()),
    )


# What code in this project names. Identity only: full facts (verbs, subresources, categories) come from ``builtin()``.
PODS = _r(
    "", "v1", "Pod", "pods", short="po", sub="status binding eviction log exec attach portforward proxy ephemeralcontainers resize"
)
SERVICES = _r("", "v1", "Service", "services", short="svc", sub="status proxy")
ENDPOINTS = _r("", "v1", "Endpoints", "endpoints", short="ep", sub="")
NODES = _r("", "v1", "Node", "nodes", namespaced=False, short="no", sub="status proxy")
NAMESPACES = _r("", "v1", "Namespace", "namespaces", namespaced=False, short="ns", sub="status finalize")
CONFIGMAPS = _r("", "v1", "ConfigMap", "configmaps", short="cm", sub="")
SECRETS = _r("", "v1", "Secret", "secrets", sub="")
SERVICEACCOUNTS = _r("", "v1", "ServiceAccount", "serviceaccounts", short="sa", sub="token")
PVCS = _r("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", short="pvc")
PVS = _r("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False, short="pv")
EVENTS = _r("", "v1", "Event", "events", short="ev", sub="")
RESOURCEQUOTAS = _r("", "v1", "ResourceQuota", "resourcequotas", short="quota")
REPLICATIONCONTROLLERS = _r("", "v1", "ReplicationController", "replicationcontrollers", short="rc", sub="status scale")
DEPLOYMENTS = _r("apps", "v1", "Deployment", "deployments", short="deploy", sub="status scale")
REPLICASETS = _r("apps", "v1", "ReplicaSet", "replicasets", short="rs", sub="status scale")
STATEFULSETS = _r("apps", "v1", "StatefulSet", "statefulsets", short="sts", sub="status scale")
DAEMONSETS = _r("apps", "v1", "DaemonSet", "daemonsets", short="ds")
CONTROLLERREVISIONS = _r("apps", "v1", "ControllerRevision", "controllerrevisions", sub="")
JOBS = _r("batch", "v1", "Job", "jobs")
CRONJOBS = _r("batch", "v1", "CronJob", "cronjobs", short="cj")
HPAS = _r("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", short="hpa")
ENDPOINTSLICES = _r("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", sub="")
CSRS = _r(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    namespaced=False,
    short="csr",
    sub="approval status",
)
LEASES = _r("coordination.k8s.io", "v1", "Lease", "leases", sub="")
PDBS = _r("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", short="pdb")
PRIORITYCLASSES = _r("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False, short="pc", sub="")
RUNTIMECLASSES = _r("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", namespaced=False, sub="")
STORAGECLASSES = _r("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False, short="sc", sub="")
INGRESSES = _r("networking.k8s.io", "v1", "Ingress", "ingresses", short="ing")
INGRESSCLASSES = _r("networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False, sub="")
ROLES = _r("rbac.authorization.k8s.io", "v1", "Role", "roles", sub="")
ROLEBINDINGS = _r("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", sub="")
CLUSTERROLES = _r("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False, sub="")
CLUSTERROLEBINDINGS = _r("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False, sub="")
CRDS = _r("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False, short="crd crds")
APISERVICES = _r("apiregistration.k8s.io", "v1", "APIService", "apiservices", namespaced=False)
GATEWAYCLASSES = _r("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses", namespaced=False, short="gc")
GATEWAYS = _r("gateway.networking.k8s.io", "v1", "Gateway", "gateways", short="gtw")
HTTPROUTES = _r("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
GRPCROUTES = _r("gateway.networking.k8s.io", "v1", "GRPCRoute", "grpcroutes")
REFERENCEGRANTS = _r("gateway.networking.k8s.io", "v1", "ReferenceGrant", "referencegrants", short="refgrant", sub="")


# Subresources without an object of their own schema: the extract's source leaves them out.
_CONNECTS = {
    ("", "v1", "pods"): ("exec", "attach", "portforward", "proxy"),
    ("", "v1", "services"): ("proxy",),
    ("", "v1", "nodes"): ("proxy",),
}


@cache
def builtin() -> tuple[Resource, ...]:
    """Every built-in resource of every version, alpha and beta ones included."""
    extract = json.loads(files("lateen.kube").joinpath("data/resources.json").read_bytes())
    return tuple(
        Resource(
            group=r["group"],
            version=r["version"],
            kind=r["kind"],
            plural=r["plural"],
            namespaced=r["namespaced"],
            singular=r["kind"].lower(),
            short_names=tuple(r["short"]),
            categories=tuple(r["categories"]),
            verbs=tuple(r["verbs"]),
            subresources=(*r["subresources"], *_CONNECTS.get((r["group"], r["version"], r["plural"]), ())),
        )
        for r in extract
    )
