"""Bindings (pkg/apis/rbac/v1/defaults.go)."""

from __future__ import annotations

from lateen.kube.defaults.base import Rule, fill, items, part
from lateen.kube.meta import Object

GROUP = "rbac.authorization.k8s.io"


def binding(obj: Object) -> None:
    """RoleBinding and ClusterRoleBinding: users and groups, and the role, are of the RBAC group."""
    fill(part(obj, "roleRef"), apiGroup=GROUP)
    for subject in items(obj, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill(subject, apiGroup=GROUP)


RULES: dict[tuple[str, str], Rule] = {(GROUP, "RoleBinding"): binding, (GROUP, "ClusterRoleBinding"): binding}
