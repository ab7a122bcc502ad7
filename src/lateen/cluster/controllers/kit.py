"""What every controller is given, and how pods look to controllers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from lateen.aio.clock import Clock
from lateen.client.client import Client
from lateen.client.discovery import Discovery
from lateen.client.informer import Informer, InformerSet
from lateen.kube.meta import Key, Object, condition, controller_of, key_of, meta, parse_time, timestamp, uid_of
from lateen.kube.resources import PODS, Resource
from lateen.reconcile.events import Voice

BY_OWNER = "controller-uid"


def no_certificates(request: bytes, usages: Sequence[str], seconds: float) -> bytes:
    """Nobody signs. ValueError."""
    raise ValueError("no authority signs certificates here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the controllers behave. Seconds. ``certify(request, usages, seconds)`` makes a certificate (PEM both), or ValueError."""

    volumes: Path
    root_ca: str = ""
    certify: Callable[[bytes, Sequence[str], float], bytes] = no_certificates
    node_grace: float = 40.0  # without a renewed Lease for so long, a node is not ready
    deletion_parallelism: int = 64
    finished_pods: int = 12500  # how many are kept in the cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """Client, shared informers, clock, recorder, settings."""

    client: Client
    informers: InformerSet
    discovery: Discovery
    clock: Clock
    recorder: Voice
    settings: Settings

    def reading_own_writes(self) -> Self:
        """The same with a client whose writes show in the shared informers at once: no controller acts on a world it already
        changed."""
        client = Client(self.client.transport, field_manager=self.client.field_manager, on_write=self.informers.wrote)
        return replace(self, client=client)

    def named(self, component: str) -> Self:
        """The same for the controller that is known by this name where events are shown."""
        return replace(self, recorder=self.recorder.named(component))

    def informer(self, resource: Resource) -> Informer:
        """The shared informer of a resource, all namespaces."""
        informer = self.informers.informer(resource)
        if resource.namespaced:
            informer.add_index("namespace", _namespace)
        return informer

    def owned(self, resource: Resource) -> Informer:
        """The shared informer, indexed by the UID of the controlling owner; ``orphans`` reads those without one."""
        informer = self.informer(resource)
        informer.add_index(BY_OWNER, _owner_uid)
        return informer


def orphans(informer: Informer, namespace: str) -> Sequence[Object]:
    """The objects of a namespace that no controller owns; ``informer`` comes from ``Kit.owned``."""
    return informer.by_index(BY_OWNER, f"orphan/{namespace}")


def _owner_uid(obj: Object) -> Iterable[str]:
    ref = controller_of(obj)
    return (ref["uid"] if ref else f"orphan/{key_of(obj).namespace}",)


def _namespace(obj: Object) -> Iterable[str]:
    return (key_of(obj).namespace,)


def owner_key(kind: str) -> Any:
    """Maps an object to the key of its controlling owner of ``kind``."""

    def keys(obj: Object) -> Iterable[Key]:
        ref = controller_of(obj)
        return (Key(key_of(obj).namespace, ref["name"]),) if ref and ref["kind"] == kind else ()

    return keys


def pod_active(pod: Object) -> bool:
    """Whether a pod still counts: not finished, not on its way out."""
    return not meta(pod).get("deletionTimestamp") and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def pod_ending(pod: Object) -> bool:
    """Whether a pod is on its way out and not finished yet."""
    return bool(meta(pod).get("deletionTimestamp")) and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


async def disrupted(kit: Kit, pod: Object, *, reason: str, message: str, phase: str = "") -> None:
    """Say on a pod that is about to be deleted who does it (condition DisruptionTarget). NotFoundError."""
    new = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    conditions = [{**new, "lastProbeTime": None, "lastTransitionTime": timestamp(kit.clock.now())}]
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": conditions, **({"phase": phase} if phase else {})}}
    key = key_of(pod)
    await kit.client.patch(PODS, key.name, patch, namespace=key.namespace, kind="strategic", subresource="status")


def ready_since(pod: Object) -> datetime | None:
    """Since when the pod is Ready, None if it is not."""
    found = condition((pod.get("status") or {}).get("conditions"), "Ready")
    if found is None or found.get("status") != "True":
        return None
    when = found.get("lastTransitionTime")
    return parse_time(when) if when else None


def pod_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is True."""
    found = condition((pod.get("status") or {}).get("conditions"), "Ready")
    return found is not None and found.get("status") == "True"


def pod_available(pod: Object, min_ready: float, now: datetime) -> bool:
    """Ready for at least ``min_ready`` seconds."""
    if not min_ready:
        return pod_ready(pod)
    since = ready_since(pod)
    return since is not None and (now - since).total_seconds() >= min_ready


def spec_of(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's spec."""
    return obj.get("spec") or {}


def status_of(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object's status."""
    return obj.get("status") or {}
