"""Pod, and the pod spec that every workload's template holds (ValidatePodSpec, ValidatePodUpdate)."""

from __future__ import annotations

from typing import Any

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation import ephemeral
from lateen.kube.validation.base import Errors, entries, follows, label_map, metadata, non_negative, one_of
from lateen.kube.validation.containers import containers
from lateen.kube.validation.dns import dns
from lateen.kube.validation.errors import forbidden, invalid
from lateen.kube.validation.scheduling import scheduling
from lateen.kube.validation.security import pod_security
from lateen.kube.validation.volumes import volumes

_RESTART = ("Always", "OnFailure", "Never")
_DEADLINE_MAX = 2**31 - 1
_NAMES = {"serviceAccountName": names.dns_subdomain, "nodeName": names.dns_subdomain, "priorityClassName": names.dns_subdomain}
_LABELS = {"hostname": names.dns_label, "subdomain": names.dns_label}
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def pod(obj: Object, old: Object | None) -> Errors:
    """Pod."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    if old is None:
        yield from pod_spec(spec, "spec")
        yield from ephemeral.on_create(spec)
        if spec.get("nodeName") and spec.get("schedulingGates"):
            yield forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    elif spec != old.get("spec"):
        yield from pod_spec(spec, "spec")
        yield from _update(spec, old.get("spec") or {})


def template(found: Object | None, at: str, *, restart: tuple[str, ...] = ("Always",)) -> Errors:
    """A PodTemplateSpec at path ``at``, whose restartPolicy is one of ``restart``."""
    meta, spec = (found or {}).get("metadata") or {}, (found or {}).get("spec") or {}
    yield from label_map(meta.get("labels"), f"{at}.metadata.labels")
    for key in meta.get("annotations") or ():
        yield from follows(names.qualified_name, f"{at}.metadata.annotations", key.lower())
    yield from pod_spec(spec, f"{at}.spec")
    if spec.get("restartPolicy") in _RESTART:
        yield from one_of(spec, "restartPolicy", f"{at}.spec", restart)
    if spec.get("activeDeadlineSeconds") is not None and restart == ("Always",):
        yield forbidden(f"{at}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")


def pod_spec(spec: Object, at: str) -> Errors:
    """A PodSpec at path ``at``."""
    yield from volumes(spec, at)
    yield from containers(spec, at, {v.get("name") for v in spec.get("volumes") or ()})
    yield from one_of(spec, "restartPolicy", at, _RESTART)
    yield from dns(spec, at)
    yield from pod_security(spec, at)
    yield from non_negative(spec, at, "terminationGracePeriodSeconds")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _DEADLINE_MAX:
        yield invalid(f"{at}.activeDeadlineSeconds", deadline, f"must be between 1 and {_DEADLINE_MAX}, inclusive")
    for name, rule in (*_NAMES.items(), *_LABELS.items()):
        if spec.get(name):
            yield from follows(rule, f"{at}.{name}", spec[name])
    yield from scheduling(spec, at)
    for field, alias in entries(spec, "hostAliases", at):
        yield from follows(names.ip_address, f"{field}.ip", alias.get("ip") or "")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        yield invalid(f"{at}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled")


def _update(new: Object, old: Object) -> Errors:
    for name in ("containers", "initContainers"):
        if len(new.get(name) or ()) != len(old.get(name) or ()):
            yield forbidden(f"spec.{name}", "pod updates may not add or remove containers")
            return
    yield from _deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    yield from _tolerations(new.get("tolerations") or [], old.get("tolerations") or [])
    yield from _gates(new, old)
    if _fixed(new) != _fixed(old) or not _grace_may(new, old):
        yield forbidden("spec", _MUTABLE)


def _fixed(spec: Object) -> Object:
    """The spec without what an update may change."""
    loose = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates", *_CONTAINER_LISTS)
    fixed: dict[str, Any] = {k: v for k, v in spec.items() if k not in loose and v is not None}
    for name in _CONTAINER_LISTS:
        fixed[name] = [{k: v for k, v in c.items() if k != "image"} for c in spec.get(name) or ()]
    return fixed


def _grace_may(new: Object, old: Object) -> bool:
    now, then = new.get("terminationGracePeriodSeconds"), old.get("terminationGracePeriodSeconds")
    return now == then or (now == 1 and then is not None and then < 0)


def _deadline(new: int | None, old: int | None) -> Errors:
    if old is None:
        return
    if new is None:
        yield invalid("spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value")
    elif new > old:
        yield invalid("spec.activeDeadlineSeconds", new, "must be less than or equal to previous value")


def _tolerations(new: list[Object], old: list[Object]) -> Errors:
    identities = [_identity(t) for t in new]
    if any(_identity(t) not in identities for t in old):
        yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _identity(toleration: Object) -> Object:
    return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}


def _gates(new: Object, old: Object) -> Errors:
    """Scheduling gates can be taken away, never added."""
    before = {g.get("name") for g in old.get("schedulingGates") or ()}
    for field, gate in entries(new, "schedulingGates", "spec"):
        if gate.get("name") not in before:
            yield forbidden(field, "only deletion is allowed, but found new scheduling gate")
