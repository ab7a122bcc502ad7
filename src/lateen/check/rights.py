"""What a ServiceAccount may do that matters when it is stolen."""

from __future__ import annotations

from lateen.check.manifest import mapping, maps
from lateen.check.world import World

_GRAVE = (
    "secrets",
    "pods",
    "pods/exec",
    "nodes",
    "nodes/proxy",
    "*",
    "clusterroles",
    "roles",
    "rolebindings",
    "clusterrolebindings",
)


def granted(world: World, namespace: str, account: str) -> str:
    """The gravest rights of the account in words, empty when there is none."""
    for binding in world.kind("RoleBinding", "ClusterRoleBinding"):
        holders = [
            (str(s.get("namespace") or world.namespace(binding)), str(s.get("name")))
            for s in maps(binding.data.get("subjects"))
            if s.get("kind") == "ServiceAccount"
        ]
        if (namespace, account) not in holders:
            continue
        ref = mapping(binding.data.get("roleRef"))
        if ref.get("name") == "cluster-admin":
            return "do everything (cluster-admin)"
        role = world.get(
            str(ref.get("kind")), world.namespace(binding) if ref.get("kind") == "Role" else "default", str(ref.get("name"))
        )
        for rule in maps(role.data.get("rules")) if role else ():
            grave = [r for r in rule.get("resources") or () if r in _GRAVE]
            verbs = [str(v) for v in rule.get("verbs") or ()]
            if grave and ("secrets" in grave or "*" in grave or set(verbs) & {"create", "update", "patch", "delete", "*"}):
                return f"{', '.join(verbs)} {', '.join(grave)}"
    return ""
