"""What pods may do on their machine, and what services may do with the Kubernetes API: security contexts, identities, RBAC."""

from __future__ import annotations

from typing import Any

from lateen.images.user import NOBODY
from lateen.kube.meta import Object
from lateen.model import Application, Service
from lateen.render.names import obj, service_labels

RBAC = "rbac.authorization.k8s.io"
_GROUP = int(NOBODY.partition(":")[0])
"""The group of the images that lateen builds: it owns the volumes."""
_STRENGTH = ("restricted", "baseline", "privileged")


def pod_context(service: Service) -> dict[str, Any]:
    """The pod's securityContext."""
    security = service.security
    context: dict[str, Any] = {}
    user = security.user
    if security.profile == "restricted":
        context["runAsNonRoot"] = True
    if user is not None:
        context["runAsUser"] = user
    group = security.group if security.group is not None else user
    if group is not None:
        context["runAsGroup"] = group
    built = service.build is not None and service.build.dockerfile is None
    if service.storage and (owner := group if group is not None else _GROUP if built else None) is not None:
        context |= {"fsGroup": owner, "fsGroupChangePolicy": "OnRootMismatch"}
    if security.profile != "privileged":
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    return context


def container_context(service: Service) -> dict[str, Any]:
    """The securityContext of each of its containers."""
    security = service.security
    if security.profile == "privileged":
        return {"privileged": True}
    context: dict[str, Any] = {"allowPrivilegeEscalation": False}
    capabilities: dict[str, Any] = {"drop": ["ALL"]} if security.profile == "restricted" else {}
    if security.capabilities:
        capabilities["add"] = list(security.capabilities)
    if capabilities:
        context["capabilities"] = capabilities
    if security.read_only_root:
        context["readOnlyRootFilesystem"] = True
    return context


def scratch(service: Service) -> bool:
    """Whether `/tmp` needs a volume: the root file system is read-only, and nothing else is mounted there."""
    taken = {*service.storage, *service.config, *service.secrets}
    return service.security.read_only_root and service.security.profile != "privileged" and "/tmp" not in taken  # noqa: S108 # in the container


def level(app: Application) -> str:
    """The Pod Security Standard that the namespace can enforce: the policy's, else the weakest that a service asks for."""
    return app.spec.policies.security or max(
        (s.security.profile for s in app.services.values()), key=_STRENGTH.index, default="restricted"
    )


def account_name(app: Application, name: str) -> str:
    """The ServiceAccount that the service runs as."""
    return app.services[name].identity.service_account or name


def account(app: Application, name: str) -> list[Object]:
    """An identity of its own, without a token unless it may use the Kubernetes API, and what it may do there."""
    service = app.services[name]
    identity, labels = service.identity, service_labels(app, name)
    objects: list[Object] = []
    if identity.service_account is None:
        found = obj("v1", "ServiceAccount", name, app=app, labels=labels, automountServiceAccountToken=False)
        if identity.annotations:
            found["metadata"]["annotations"] = dict(identity.annotations)
        objects.append(found)
    if identity.rbac:
        rules = [_rule(r) for r in identity.rbac]
        subject = {"kind": "ServiceAccount", "name": account_name(app, name), "namespace": app.namespace}
        reference = {"apiGroup": RBAC, "kind": "Role", "name": name}
        objects += [
            obj(f"{RBAC}/v1", "Role", name, app=app, labels=labels, rules=rules),
            obj(f"{RBAC}/v1", "RoleBinding", name, app=app, labels=labels, subjects=[subject], roleRef=reference),
        ]
    return objects


def _rule(rule: Any) -> dict[str, Any]:
    return {
        "apiGroups": list(rule.groups),
        "resources": list(rule.resources),
        **({"resourceNames": list(rule.names)} if rule.names else {}),
        "verbs": list(rule.verbs),
    }
