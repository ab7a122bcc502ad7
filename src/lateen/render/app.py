"""The whole application as Kubernetes objects, in a stable order. Pure: the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lateen.kube.meta import Object
from lateen.kube.yamltext import dump
from lateen.model import Application
from lateen.render import backing, limits, network, observation, policies, scaling, secrets, security, workload
from lateen.render.capabilities import DEFAULT, Capabilities
from lateen.render.patches import patched
from lateen.render.volumes import Files, volumes

_ORDER = (
    "Namespace",
    "PriorityClass",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Password",
    "ExternalSecret",
    "Secret",
    "PersistentVolumeClaim",
    "Service",
    "StatefulSet",
    "Job",
    "DaemonSet",
    "Deployment",
    "CronJob",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "ScaledObject",
    "VerticalPodAutoscaler",
    "ServiceMonitor",
    "PodMonitor",
    "Gateway",
    "HTTPRoute",
    "GRPCRoute",
    "Ingress",
)

_PLACES = {kind: place for place, kind in enumerate(_ORDER)}


def render(
    app: Application,
    *,
    images: Mapping[str, str] | None = None,
    files: Files | None = None,
    having: Capabilities = DEFAULT,
    manifests: Sequence[Object] = (),
) -> list[Object]:
    """Every object of the application, by kind and name.

    ``images`` maps services to resolved references (``name@sha256:...``); without one a service runs the image it names, and a
    built one the name of its build. ``files`` holds the content of every path in ``volumes.files_needed(app)``, else InputError.
    ``having`` says which optional kinds the cluster has; ``manifests`` are the user's own, which follow, and may be patched.
    """
    objects = [
        limits.namespace(app),
        *limits.priority_classes(app),
        *limits.limits(app),
        *policies.namespace_policies(app),
        *backing.backing(app),
        *(o for name in app.spec.resources for o in policies.resource_policy(app, name)),
        *secrets.external_secrets(app, having),
        *network.gateways(app, having),
    ]
    for name, service in app.services.items():
        image = (images or {}).get(name) or app.image(name)
        own = _service(app, name, image, files or {}, having)
        objects += patched(app, own, service.patches, "services", name) if service.patches else own
    objects = sorted(objects, key=lambda o: (_PLACES[o["kind"]], o["metadata"]["name"]))
    objects += manifests
    return patched(app, objects, app.spec.patches) if app.spec.patches else objects


def _service(app: Application, name: str, image: str, files: Files, having: Capabilities) -> list[Object]:
    mounted = volumes(app, name, files)
    return [
        *security.account(app, name),
        *mounted.objects,
        *policies.service_policy(app, name),
        *network.service_object(app, name),
        *workload.workload(app, name, image, mounted),
        *scaling.disruption_budget(app, name),
        *scaling.autoscalers(app, name, workload.kind_of(app.services[name]), having),
        *observation.monitors(app, name, having),
        *network.routes(app, name, having),
    ]


def to_yaml(objects: Sequence[Object]) -> str:
    """The objects as one YAML stream."""
    return dump(objects)
