"""Pods and every template of pods (pkg/apis/core/v1/defaults.go)."""

from __future__ import annotations

from collections.abc import Iterator

from lateen.kube.defaults.base import amount, amounts, fill, fill_numbers, items, part
from lateen.kube.meta import Object

_MODE = 0o644
_TOKEN_SECONDS = 3600
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_SOURCES_WITH_MODE = ("secret", "configMap", "projected", "downwardAPI")


def pod(obj: Object) -> None:
    """A Pod: beyond its spec, limits become requests and host networking claims host ports."""
    spec = part(obj, "spec")
    pod_spec(spec)
    fill(spec, enableServiceLinks=True)
    for container in containers(spec):
        _requests(container)
        _resize_policies(container)
        if spec.get("hostNetwork"):
            _host_ports(container)


def _resize_policies(container: Object) -> None:
    """cpu and memory may change without a restart, unless it is said."""
    resources = container.get("resources") or {}
    policies = container.get("resizePolicy") or []
    said = {p.get("resourceName") for p in policies}
    asked = [k for k in ("cpu", "memory") if any(k in (resources.get(part) or {}) for part in ("requests", "limits"))]
    more = [{"resourceName": kind, "restartPolicy": "NotRequired"} for kind in asked if kind not in said]
    if more:
        container["resizePolicy"] = [*policies, *more]


def template(owner: Object) -> None:
    """``template`` of a workload's spec."""
    pod_spec(part(part(owner, "template"), "spec"))


def pod_spec(spec: Object) -> None:
    """What Pods and templates have in common."""
    fill(spec, dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler")
    fill(spec, terminationGracePeriodSeconds=30, securityContext={})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        # The old name of the field is still served, and always equal.
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in items(spec, "volumes"):
        _volume(volume)
    for container in containers(spec):
        _container(container)
    amounts(spec.get("overhead"))


def containers(spec: Object) -> Iterator[Object]:
    """Init containers, containers and ephemeral ones."""
    for name in ("initContainers", "containers", "ephemeralContainers"):
        yield from items(spec, name)


def _container(container: Object) -> None:
    fill(container, imagePullPolicy=_pull_policy(str(container.get("image") or "")), resources={})
    fill(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    for port in items(container, "ports"):
        fill(port, protocol="TCP")
    for variable in items(container, "env"):
        _field_reference(variable.get("valueFrom"))
    for name in _PROBES:
        if isinstance(container.get(name), dict):
            _probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        _handler(hook)
    for name in ("limits", "requests"):
        amounts((container.get("resources") or {}).get(name))


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if colon and tag != "latest" else "Always"


def _probe(probe: Object) -> None:
    fill_numbers(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _handler(probe)
    if isinstance(probe.get("grpc"), dict):
        fill(probe["grpc"], service="")


def _handler(handler: object) -> None:
    if isinstance(handler, dict) and isinstance(handler.get("httpGet"), dict):
        fill(handler["httpGet"], path="/", scheme="HTTP")


def _field_reference(source: object) -> None:
    if isinstance(source, dict) and isinstance(source.get("fieldRef"), dict):
        fill(source["fieldRef"], apiVersion="v1")


def _volume(volume: Object) -> None:
    if not any(value is not None for name, value in volume.items() if name != "name"):
        volume["emptyDir"] = {}
    for name in _SOURCES_WITH_MODE:
        if isinstance(volume.get(name), dict):
            fill(volume[name], defaultMode=_MODE)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    if (volume.get("emptyDir") or {}).get("sizeLimit") is not None:
        volume["emptyDir"]["sizeLimit"] = amount(volume["emptyDir"]["sizeLimit"])
    for file in items(volume.get("downwardAPI") or {}, "items"):
        _field_reference(file)
    for source in items(volume.get("projected") or {}, "sources"):
        _projected(source)
    if isinstance((volume.get("ephemeral") or {}).get("volumeClaimTemplate"), dict):
        claim = part(volume["ephemeral"]["volumeClaimTemplate"], "spec")
        fill(claim, volumeMode="Filesystem")


def _projected(source: Object) -> None:
    if isinstance(source.get("serviceAccountToken"), dict):
        fill(source["serviceAccountToken"], expirationSeconds=_TOKEN_SECONDS)
    for file in items(source.get("downwardAPI") or {}, "items"):
        _field_reference(file)


def _requests(container: Object) -> None:
    resources = container["resources"]
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _host_ports(container: Object) -> None:
    for port in items(container, "ports"):
        fill_numbers(port, hostPort=port.get("containerPort") or 0)
