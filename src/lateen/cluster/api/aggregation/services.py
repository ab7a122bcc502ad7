"""APIService objects taken apart: which group versions are somebody else's, the objects for our own, the condition. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lateen.cluster.api.outward.targets import ServicePort
from lateen.kube.meta import Object, condition, set_condition
from lateen.kube.validation.errors import FieldError, invalid, required

GROUP = "apiregistration.k8s.io"
COLLECTION = f"{GROUP}/apiservices"
MANAGED = "kube-aggregator.kubernetes.io/automanaged"
# groupPriorityMinimum of Kubernetes' own groups; everything else that is built in follows.
_PRIORITIES = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "resource.k8s.io": 15900,
    "metrics.k8s.io": 100,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A group version that an extension API server serves. ``why`` says what keeps it from being asked, '' when nothing does."""

    group: str
    version: str
    target: ServicePort
    bundle: str = ""
    insecure: bool = False
    priority: int = 0
    available: bool = False

    @property
    def group_version(self) -> str:
        """``custom.metrics.k8s.io/v1beta2``."""
        return f"{self.group}/{self.version}"


def name_of(group: str, version: str) -> str:
    """``v1.apps``; ``v1.`` for the core group."""
    return f"{version}.{group}"


def remote_of(obj: Object) -> Remote | None:
    """What an APIService says, None for a local one."""
    spec = obj.get("spec") or {}
    service = spec.get("service")
    if service is None:
        return None
    found = condition((obj.get("status") or {}).get("conditions"), "Available")
    return Remote(
        group=str(spec.get("group") or ""),
        version=str(spec.get("version") or ""),
        target=ServicePort(str(service.get("namespace")), str(service.get("name")), int(service.get("port") or 443)),
        bundle=str(spec.get("caBundle") or ""),
        insecure=bool(spec.get("insecureSkipTLSVerify")),
        priority=int(spec.get("groupPriorityMinimum") or 0),
        available=found is not None and found.get("status") == "True",
    )


def local(group: str, version: str, *, custom: bool) -> Object:
    """The APIService of a group version that is served here."""
    priority, rank = (1000, 100) if custom else (_PRIORITIES.get(group, 16000), 15 if group else 1)
    spec: Object = {"version": version, "groupPriorityMinimum": priority, "versionPriority": rank}
    if group:
        spec["group"] = group
    labels = {MANAGED: "true" if custom else "onstart"}
    head = {"kind": "APIService", "apiVersion": f"{GROUP}/v1"}
    return {**head, "metadata": {"name": name_of(group, version), "labels": labels}, "spec": spec}


def available(reason: str, message: str, *, yes: bool) -> dict[str, str]:
    """The Available condition."""
    return {"type": "Available", "status": "True" if yes else "False", "reason": reason, "message": message}


LOCAL = available("Local", "Local APIServices are always available", yes=True)
PASSED = available("Passed", "all checks passed", yes=True)


def with_condition(obj: Object, new: dict[str, str], now: datetime) -> Object:
    """The object with its condition; the same object where it already says so."""
    status = obj.get("status") or {}
    before = condition(status.get("conditions"), "Available")
    if before is not None and all(before.get(k) == v for k, v in new.items()):
        return obj
    return {**obj, "status": {**status, "conditions": set_condition(status.get("conditions"), new, now)}}


def faults(obj: Object) -> Iterator[FieldError]:
    """What keeps an APIService from being stored."""
    spec, name = obj.get("spec") or {}, obj["metadata"].get("name", "")
    group, version = str(spec.get("group") or ""), str(spec.get("version") or "")
    if name != name_of(group, version):
        yield invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{name_of(group, version)}"')
    if not group and version != "v1":
        yield required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    if not version:
        yield required("spec.version")
    for field, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= limit:
            yield invalid(f"spec.{field}", value, f"must be positive and less than {limit}")
    yield from _service_faults(spec)


def _service_faults(spec: Object) -> Iterator[FieldError]:
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            yield invalid("spec.caBundle", f"{len(spec['caBundle'])} bytes", "local APIServices may not have a caBundle")
        if spec.get("insecureSkipTLSVerify"):
            yield invalid("spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify")
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            yield required(f"spec.service.{field}")
    port = service.get("port", 443)
    if not 0 < port < 65536:
        yield invalid("spec.service.port", port, "port is not valid: must be between 1 and 65535, inclusive")
    if spec.get("caBundle") and spec.get("insecureSkipTLSVerify"):
        yield invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def wanted_local(group_versions: Iterable[tuple[str, str, bool]], stored: Iterable[Object]) -> tuple[list[Object], list[str]]:
    """(local APIServices to create, names of those to delete): one for each group version that is served here, unless somebody
    gave that one away."""
    have = {o["metadata"]["name"]: o for o in stored}
    want = {name_of(g, v): local(g, v, custom=custom) for g, v, custom in group_versions}
    gone = [n for n, o in have.items() if n not in want and (o["metadata"].get("labels") or {}).get(MANAGED) and _is_local(o)]
    return [o for n, o in want.items() if n not in have], gone


def _is_local(obj: Any) -> bool:
    return (obj.get("spec") or {}).get("service") is None
