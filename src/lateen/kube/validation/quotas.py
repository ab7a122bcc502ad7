"""ResourceQuota: what it may bound, and of what its scopes may speak. Pure; rules as pkg/apis/core/validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lateen.kube import names, quantity
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, amount, entries, follows, metadata, unchanged
from lateen.kube.validation.errors import invalid, required

_KINDS = ("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims")
_OBJECTS = frozenset((*_KINDS, "services.nodeports", "services.loadbalancers"))
_COMPUTE = frozenset(f"{prefix}{name}" for prefix in ("", "requests.", "limits.") for name in ("cpu", "memory"))
_EPHEMERAL = frozenset(f"{prefix}ephemeral-storage" for prefix in ("", "requests.", "limits."))
_STANDARD = _OBJECTS | _COMPUTE | _EPHEMERAL | {"requests.storage"}
_PODS, _CLAIMS = _COMPUTE | {"pods"}, frozenset(("persistentvolumeclaims", "requests.storage"))
_SCOPES = {
    "Terminating": _PODS,
    "NotTerminating": _PODS,
    "BestEffort": frozenset(("pods",)),
    "NotBestEffort": _PODS,
    "PriorityClass": _PODS,
    "CrossNamespacePodAffinity": _PODS,
    "VolumeAttributesClass": _CLAIMS,
}
_PRESENCE_ONLY = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
_OPPOSITES = (frozenset(("BestEffort", "NotBestEffort")), frozenset(("Terminating", "NotTerminating")))


def resource_quota(obj: Object, old: Object | None) -> Errors:
    """ResourceQuota."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    hard = spec.get("hard") or {}
    for name, value in hard.items():
        yield from _bound(name, value, f"spec.hard[{name}]")
    scopes = spec.get("scopes") or ()
    for number, scope in enumerate(scopes):
        yield from _scope(scope, hard, f"spec.scopes[{number}]", f"spec.scopes[{number}]")
    yield from _agree(scopes, "spec.scopes")
    selector = spec.get("scopeSelector") or {}
    for at, rule in entries(selector, "matchExpressions", "spec.scopeSelector"):
        yield from _scope(rule.get("scopeName") or "", hard, f"{at}.scopeName", at)
        yield from _operator(rule, at)
    yield from _agree([r.get("scopeName") for r in selector.get("matchExpressions") or ()], "spec.scopeSelector")
    if old is not None:
        yield from unchanged(spec.get("scopes"), (old.get("spec") or {}).get("scopes"), "spec.scopes")


def _bound(name: str, value: object, at: str) -> Errors:
    yield from follows(names.qualified_name, at, name)
    if "/" not in name and name not in _STANDARD and not name.removeprefix("requests.").startswith("hugepages-"):
        yield invalid(at, name, "must be a standard resource for quota")
    yield from amount(value, at)
    if (name in _OBJECTS or name.startswith("count/")) and _fraction(value):
        yield invalid(at, value, "must be an integer")


def _fraction(value: object) -> bool:
    try:
        return quantity.parse(str(value)).denominator != 1
    except ValueError:
        return False  # said already


def _scope(name: str, hard: Iterable[str], at: str, of_resource: str) -> Errors:
    if name not in _SCOPES:
        yield invalid(at, name, "unsupported scope")
        return
    for _ in (resource for resource in hard if resource not in _SCOPES[name]):
        yield invalid(of_resource, name, "unsupported scope applied to resource")


def _operator(rule: Object, at: str) -> Errors:
    operator, values = rule.get("operator"), rule.get("values") or ()
    if rule.get("scopeName") in _PRESENCE_ONLY and operator != "Exists":
        scopes = ", ".join(f"ResourceQuotaScope{s}" for s in ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort"))
        text = f"must be 'Exist' when scope is any of {scopes} or ResourceQuotaScopeCrossNamespacePodAffinity"
        yield invalid(f"{at}.operator", operator, text)
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{at}.values", "must be atleast one value when `operator` is 'In' or 'NotIn' for scope selector")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield invalid(f"{at}.values", list(values), text)
    else:
        yield invalid(f"{at}.operator", operator, "not a valid selector operator")


def _agree(scopes: Sequence[object], at: str) -> Errors:
    if any(pair <= set(scopes) for pair in _OPPOSITES):
        yield invalid(at, list(scopes), "conflicting scopes")
