"""LimitRange: what containers ask for by default in a namespace, and how much or little pods and claims may ask for.

Follows plugin/pkg/admission/limitranger. Called when a pod or claim is created, after its defaults are filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.kube import quantity
from lateen.kube.meta import Object

ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, Any]


def on_create(backend: Backend, call: Call, obj: Object) -> None:
    """Fill in default requests and limits, in place. ForbiddenError for amounts out of range."""
    if not backend.storage.count(f"core/limitranges/{call.namespace}/"):
        return
    ranges = list(backend.objects("", "v1", "limitranges", call.namespace))
    is_pod = call.served.collection == "core/pods"
    if is_pod:
        fill(obj, ranges)
    for limits in ranges:
        found = list(dict.fromkeys(faults(obj, limits) if is_pod else claim_faults(obj, limits)))
        if found:
            why = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
            raise statuses.forbidden(call.served.resource, obj["metadata"].get("name") or "", why)


def _items(limits: Object, kind: str) -> Iterator[Object]:
    return (i for i in (limits.get("spec") or {}).get("limits") or () if i.get("type") == kind)


def _containers(pod: Object) -> list[Object]:
    spec = pod["spec"]
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def fill(pod: Object, ranges: Iterable[Object]) -> None:
    """Give containers the requests and limits they do not say, in place, and write down which."""
    defaults: dict[str, dict[str, Any]] = {"requests": {}, "limits": {}}
    for limits in ranges:
        for item in _items(limits, "Container"):
            defaults["requests"] |= item.get("defaultRequest") or {}
            defaults["limits"] |= item.get("default") or {}
    names = {id(c): "init container" for c in pod["spec"].get("initContainers") or ()}
    notes = []
    for container in _containers(pod):
        for kind, amounts in defaults.items():
            known = (container.get("resources") or {}).get(kind) or {}
            added = {k: v for k, v in amounts.items() if k not in known}
            if added:
                container["resources"] = {**(container.get("resources") or {}), kind: {**known, **added}}
                listed = ", ".join(sorted(added))
                notes.append(f"{listed} {kind[:-1]} for {names.get(id(container), 'container')} {container.get('name')}")
    if notes:
        meta = pod["metadata"]
        meta["annotations"] = {**(meta.get("annotations") or {}), ANNOTATION: f"LimitRanger plugin set: {'; '.join(notes)}"}


def faults(pod: Object, limits: Object) -> Iterator[str]:
    """Why a pod does not keep to one LimitRange."""
    for item in _items(limits, "Container"):
        for container in _containers(pod):
            resources = container.get("resources") or {}
            yield from _beyond("Container", item, resources.get("requests") or {}, resources.get("limits") or {})
    for item in _items(limits, "Pod"):
        yield from _beyond("Pod", item, _total(pod, "requests"), _total(pod, "limits"))


def claim_faults(claim: Object, limits: Object) -> Iterator[str]:
    """Why a claim does not keep to one LimitRange."""
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    for item in _items(limits, "PersistentVolumeClaim"):
        for name, least in (item.get("min") or {}).items():
            yield from _least("PersistentVolumeClaim", name, least, requests, {})
        for name, most in (item.get("max") or {}).items():
            said = f"maximum {name} usage per PersistentVolumeClaim is {most}"
            if name not in requests:
                yield f"{said}.  No request is specified"
            elif _value(requests[name]) > _value(most):
                yield f"{said}, but request is {requests[name]}"


def _value(amount: Any) -> Fraction:
    return quantity.parse(amount)


def _total(pod: Object, kind: str) -> Amounts:
    """What the pod asks for: the sum of its containers, or the largest init container where that is more."""
    spec = pod["spec"]
    asked = [
        [(c.get("resources") or {}).get(kind) or {} for c in spec.get(field) or ()] for field in ("containers", "initContainers")
    ]
    total: dict[str, Fraction] = {}
    for amounts in asked[0]:
        for name, amount in amounts.items():
            total[name] = total.get(name, Fraction(0)) + _value(amount)
    for amounts in asked[1]:
        for name, amount in amounts.items():
            total[name] = max(total.get(name, Fraction(0)), _value(amount))
    return {name: _text(name, value) for name, value in total.items()}


def _text(name: str, value: Fraction) -> str:
    """A sum as a quantity: memory in binary units."""
    if name != "cpu" and value >= 1024 and value % 1024 == 0:
        return quantity.canonical(f"{value / 1024}Ki")
    return quantity.canonical(f"{quantity.milli(str(float(value)))}m") if name == "cpu" else quantity.canonical(str(-(-value // 1)))


def _beyond(kind: str, item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in (item.get("min") or {}).items():
        yield from _least(kind, name, least, requests, limits)
    for name, most in (item.get("max") or {}).items():
        yield from _most(kind, name, most, requests, limits)
    for name, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        yield from _ratio(kind, name, ratio, requests, limits)


def _least(kind: str, name: str, least: Any, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"minimum {name} usage per {kind} is {least}"
    if name not in requests:
        yield f"{said}.  No request is specified"
    elif _value(requests[name]) < _value(least):
        yield f"{said}, but request is {requests[name]}"
    elif name in limits and _value(limits[name]) < _value(least):
        yield f"{said}, but limit is {limits[name]}"


def _most(kind: str, name: str, most: Any, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"maximum {name} usage per {kind} is {most}"
    if name not in limits:
        yield f"{said}.  No limit is specified"
    elif _value(limits[name]) > _value(most):
        yield f"{said}, but limit is {limits[name]}"
    elif name in requests and _value(requests[name]) > _value(most):
        yield f"{said}, but request is {requests[name]}"


def _ratio(kind: str, name: str, most: Any, requests: Amounts, limits: Amounts) -> Iterator[str]:
    said = f"{name} max limit to request ratio per {kind} is {most}"
    if not (request := _value(requests.get(name, 0))):
        yield f"{said}, but no request is specified or request is 0"
    elif not (limit := _value(limits.get(name, 0))):
        yield f"{said}, but no limit is specified or limit is 0"
    elif limit / request > _value(most):
        yield f"{said}, but provided ratio is {float(limit / request):f}"
