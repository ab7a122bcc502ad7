"""What an environment may use: the namespace and its security level, ResourceQuota, LimitRange, PriorityClasses."""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application
from lateen.model.container import Resources
from lateen.render.names import PREFIX, is_number, labels, obj, priority_class
from lateen.render.security import level


def namespace(app: Application) -> Object:
    """The namespace, which enforces the Pod Security Standard that every service keeps and warns of what is not restricted."""
    own = {
        f"{PREFIX}/instance": app.name,
        f"{PREFIX}/part-of": app.name,
        f"{PREFIX}/managed-by": "lateen",
        "pod-security.kubernetes.io/enforce": level(app),
        "pod-security.kubernetes.io/warn": "restricted",
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": app.namespace, "labels": own}}


def limits(app: Application) -> list[Object]:
    """ResourceQuota and LimitRange of the application's policies."""
    policies, objects = app.spec.policies, []
    hard = {f"{kind}.{name}": value for name, value, kind in _bounds(policies.budget)}
    if hard:
        own = labels(app, app.name, "policy")
        objects.append(obj("v1", "ResourceQuota", app.name, app=app, labels=own, spec={"hard": hard}))
    default = {"defaultRequest": "requests", "default": "limits"}
    limit: dict[str, Any] = {
        field: found for field, kind in default.items() if (found := {n: v for n, v, k in _bounds(policies.limits) if k == kind})
    }
    if limit:
        own = labels(app, app.name, "policy")
        objects.append(obj("v1", "LimitRange", app.name, app=app, labels=own, spec={"limits": [{"type": "Container", **limit}]}))
    return objects


def priority_classes(app: Application) -> list[Object]:
    """A class for each number that a service gives as its priority."""
    numbers = {
        s.availability.priority for s in app.services.values() if s.availability.priority and is_number(s.availability.priority)
    }
    return [_priority_class(app, number) for number in sorted(numbers, key=int)]


def _priority_class(app: Application, number: str) -> Object:
    metadata = {"name": priority_class(app, number), "labels": labels(app, app.name, "policy")}
    text = f"Services of {app.name} with the priority {number}"
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": metadata,
        "value": int(number),
        "description": text,
    }


def _bounds(resources: Resources) -> list[tuple[str, str, str]]:
    named = (("cpu", resources.cpu), ("memory", resources.memory), ("ephemeral-storage", resources.ephemeral))
    found = []
    for name, value in named:
        if value is not None:
            found.append((name, value.request, "requests"))
            if value.limit:
                found.append((name, value.limit, "limits"))
    return found
