"""Rendered objects of an application as Manifests whose places are in the application file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lateen.check.manifest import Locate, Manifest, Path
from lateen.kube.meta import Object, labels_of
from lateen.kube.yamltext import Mark, locate
from lateen.model import Application

# The step of an object's path that tells which field of the service it comes from; the first that occurs wins.
_FIELDS = {
    "image": "image",
    "resources": "resources",
    "replicas": "replicas",
    "livenessProbe": "health",
    "readinessProbe": "health",
    "startupProbe": "health",
    "env": "env",
    "ports": "ports",
    "securityContext": "security",
    "volumes": "storage",
    "volumeMounts": "storage",
    "volumeClaimTemplates": "storage",
    "command": "command",
    "args": "args",
    "strategy": "rollout",
    "hostnames": "routes",
    "rules": "routes",
}


def manifests(application: Application, objects: Iterable[Object]) -> Iterator[Manifest]:
    """The objects, placed in the application file they were rendered from."""
    source = str(application.tree.mark.source.name)
    for obj in objects:
        yield Manifest(obj, _places(application, obj), source=source)


def _places(application: Application, obj: Object) -> Locate:
    service = labels_of(obj).get("app.kubernetes.io/name", "")

    def find(path: Path) -> Mark:
        if service not in application.services:
            return application.tree.mark
        field = next((_FIELDS[s] for s in path if isinstance(s, str) and s in _FIELDS), "")
        node, _ = locate(application.tree, ("services", service, *([field] if field else [])))
        return node.key or node.mark

    return find
