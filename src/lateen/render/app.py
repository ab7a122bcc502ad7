"""The whole application as Kubernetes objects, in a stable order. Pure: the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping

from lateen.kube.meta import Object
from lateen.kube.yamltext import dump
from lateen.model import Application
from lateen.render import network, workload
from lateen.render.names import PREFIX
from lateen.render.volumes import Files, volumes

_ORDER = (
    "Namespace",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "Service",
    "Deployment",
    "PodDisruptionBudget",
    "Gateway",
    "HTTPRoute",
)


def render(app: Application, *, images: Mapping[str, str] | None = None, files: Files | None = None) -> list[Object]:
    """Every object of the application, by kind and name.

    ``images`` maps services to resolved references (``name@sha256:...``); without one a service runs the image it names, and a
    built one the name of its build. ``files`` holds the content of every path in ``volumes.files_needed(app)``, else InputError.
    """
    objects = [_namespace(app), *network.gateways(app)]
    for name in app.services:
        objects += _service(app, name, (images or {}).get(name) or app.image(name), files or {})
    return sorted(objects, key=lambda o: (_ORDER.index(o["kind"]), o["metadata"]["name"]))


def _service(app: Application, name: str, image: str, files: Files) -> list[Object]:
    mounted = volumes(app, name, files)
    return [
        workload.service_account(app, name),
        *mounted.objects,
        *network.service_object(app, name),
        workload.deployment(app, name, image, mounted),
        *workload.disruption_budget(app, name),
        *network.routes(app, name),
    ]


def _namespace(app: Application) -> Object:
    labels = {f"{PREFIX}/instance": app.name, f"{PREFIX}/part-of": app.name, f"{PREFIX}/managed-by": "lateen"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": app.namespace, "labels": labels}}


def to_yaml(objects: list[Object]) -> str:
    """The objects as one YAML stream."""
    return dump(objects)
