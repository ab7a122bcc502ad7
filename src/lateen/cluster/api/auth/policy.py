"""The roles and bindings that every cluster starts with, as compact data (plugin/pkg/auth/authorizer/rbac/bootstrappolicy).

``view``, ``edit`` and ``admin`` aggregate roles by label: the ones here hold the rules, whoever adds one extends them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lateen.kube.meta import Object

RBAC = "rbac.authorization.k8s.io"
READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
_LADDER = ("view", "edit", "admin")
_ABOVE = {"view": "edit", "edit": "admin"}
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def _words(text: str) -> list[str]:
    return text.split()


_CORE = [
    "bindings",
    "configmaps",
    "endpoints",
    "events",
    "limitranges",
    "namespaces/status",
    "persistentvolumeclaims",
    "persistentvolumeclaims/status",
    "pods",
    "pods/log",
    "pods/status",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "replicationcontrollers/status",
    "resourcequotas",
    "resourcequotas/status",
    "serviceaccounts",
    "services",
    "services/status",
]
_APPS = [
    "controllerrevisions",
    "daemonsets",
    "daemonsets/status",
    "deployments",
    "deployments/scale",
    "deployments/status",
    "replicasets",
    "replicasets/scale",
    "replicasets/status",
    "statefulsets",
    "statefulsets/scale",
    "statefulsets/status",
]
_VIEWED = {
    "": _CORE,
    "apps": _APPS,
    "autoscaling": ["horizontalpodautoscalers", "horizontalpodautoscalers/status"],
    "batch": ["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
    "discovery.k8s.io": ["endpointslices"],
    "metrics.k8s.io": ["nodes", "pods"],
    "networking.k8s.io": ["ingresses", "ingresses/status", "networkpolicies"],
    "policy": ["poddisruptionbudgets", "poddisruptionbudgets/status"],
    "gateway.networking.k8s.io": ["gateways", "httproutes", "grpcroutes", "referencegrants"],
}
_EDITED = {
    "": [
        "configmaps",
        "endpoints",
        "events",
        "persistentvolumeclaims",
        "pods",
        "pods/attach",
        "pods/exec",
        "pods/portforward",
        "pods/proxy",
        "pods/eviction",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "secrets",
        "serviceaccounts",
        "services",
        "services/proxy",
        "serviceaccounts/token",
    ],
    "apps": [
        "daemonsets",
        "deployments",
        "deployments/rollback",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
    ],
    "autoscaling": ["horizontalpodautoscalers"],
    "batch": ["cronjobs", "jobs"],
    "discovery.k8s.io": ["endpointslices"],
    "networking.k8s.io": ["ingresses", "networkpolicies"],
    "policy": ["poddisruptionbudgets"],
    "gateway.networking.k8s.io": ["gateways", "httproutes", "grpcroutes", "referencegrants"],
}


def _rule(verbs: Iterable[str], group: str, resources: Iterable[str]) -> dict[str, Any]:
    return {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}


def _urls(*urls: str) -> dict[str, Any]:
    return {"verbs": ["get"], "nonResourceURLs": list(urls)}


_ALL = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
_VIEW = [_rule(READ, g, r) for g, r in _VIEWED.items()] + [_rule(READ, "", ["namespaces"])]
_EDIT = [
    *(_rule(WRITE, g, r) for g, r in _EDITED.items()),
    _rule(READ, "", ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"]),
    _rule(["impersonate"], "", ["serviceaccounts"]),
    _rule([*READ, *WRITE], "coordination.k8s.io", ["leases"]),
]
_ADMIN = [
    _rule(["create"], "authorization.k8s.io", ["localsubjectaccessreviews"]),
    _rule([*READ, *WRITE], RBAC, ["roles", "rolebindings"]),
]
ROLES: dict[str, list[dict[str, Any]]] = {
    "cluster-admin": _ALL,
    "admin": [],
    "edit": [],
    "view": [],
    "system:aggregate-to-admin": _ADMIN,
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-view": _VIEW,
    "system:discovery": [
        _urls(
            "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"
        )
    ],
    "system:public-info-viewer": [_urls("/healthz", "/livez", "/readyz", "/version", "/version/")],
    "system:basic-user": [
        _rule(["create"], "authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
        _rule(["create"], "authentication.k8s.io", ["selfsubjectreviews"]),
    ],
    "system:service-account-issuer-discovery": [_urls("/.well-known/openid-configuration", "/openid/v1/jwks")],
    "system:auth-delegator": [
        _rule(["create"], "authentication.k8s.io", ["tokenreviews"]),
        _rule(["create"], "authorization.k8s.io", ["subjectaccessreviews"]),
    ],
}
BINDINGS: dict[str, tuple[str, list[str]]] = {
    "cluster-admin": ("cluster-admin", ["system:masters"]),
    "system:discovery": ("system:discovery", ["system:authenticated"]),
    "system:basic-user": ("system:basic-user", ["system:authenticated"]),
    "system:public-info-viewer": ("system:public-info-viewer", ["system:authenticated", "system:unauthenticated"]),
    "system:service-account-issuer-discovery": ("system:service-account-issuer-discovery", ["system:serviceaccounts"]),
}


def objects() -> list[Object]:
    """ClusterRoles and ClusterRoleBindings, complete."""
    roles = [_object("ClusterRole", name, _rules(name, rules), _extends(name)) for name, rules in ROLES.items()]
    return roles + [
        _object(
            "ClusterRoleBinding",
            name,
            {
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": g} for g in groups],
            },
        )
        for name, (role, groups) in BINDINGS.items()
    ]


def authentication_reader() -> Object:
    """The Role in kube-system that extension API servers are bound to, to read how users are known."""
    rule = _rule(READ, "", ["configmaps"]) | {"resourceNames": ["extension-apiserver-authentication"]}
    found = _object("Role", "extension-apiserver-authentication-reader", {"rules": [rule]})
    return {**found, "metadata": {**found["metadata"], "namespace": "kube-system"}}


def _rules(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """What a role says; the rules of one that aggregates are a controller's to write."""
    if name not in _LADDER:
        return {"rules": rules}
    return {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {f"{RBAC}/aggregate-to-{name}": "true"}}]}}


def _extends(name: str) -> dict[str, str]:
    """The label that has ``view`` extend ``edit``, and ``edit`` ``admin``; and each ``system:aggregate-to-`` role its own."""
    above = _ABOVE.get(name) or name.partition("system:aggregate-to-")[2]
    return {f"{RBAC}/aggregate-to-{above}": "true"} if above else {}


def _object(kind: str, name: str, body: dict[str, Any], labels: dict[str, str] | None = None) -> Object:
    annotations = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
    metadata = {"name": name, "labels": _LABELS | (labels or {}), "annotations": annotations}
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, **body}
