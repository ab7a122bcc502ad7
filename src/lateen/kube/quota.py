"""ResourceQuotas as arithmetic: what an object counts for, which objects a quota is about, and what goes over it.

Follows pkg/quota/v1: evaluators of pods, services and claims, object counts for the rest. Called by the API server, which refuses
what goes over, and by the quota controller, which writes ``status.used``. Amounts are Fractions; ``text`` makes quantities of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from lateen.kube import quantity
from lateen.kube.meta import Object, parse_time
from lateen.kube.qos import qos_class

Amounts = dict[str, Fraction]
_ONE = Fraction(1)
_SHORT = ("cpu", "memory", "ephemeral-storage")  # a request of these is also meant by the bare name
_BINARY = ("memory", "storage", "hugepages-")
_COUNTED = ("configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services")
_REQUIRED = frozenset(f"{prefix}{name}" for prefix in ("", "requests.", "limits.") for name in ("cpu", "memory"))
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def usage(resource: str, obj: Object, now: datetime) -> Amounts:
    """What one object of ``resource`` (``pods``, ``deployments.apps``) counts for."""
    found = {f"count/{resource}": _ONE}
    if resource in _COUNTED:
        found[resource] = _ONE
    special = _SPECIAL.get(resource)
    return found | special(obj, now) if special is not None else found


def total(resource: str, objects: Iterable[Object], quota: Object, now: datetime) -> Amounts:
    """What those of ``objects`` that the quota is about count for together."""
    found: Amounts = {}
    for obj in objects:
        if covers(quota, resource, obj):
            for name, amount in usage(resource, obj, now).items():
                found[name] = found.get(name, Fraction(0)) + amount
    return found


def resource_of(name: str) -> str:
    """Whose objects a quota's entry counts: ``requests.cpu`` is of pods, ``count/jobs.batch`` of jobs."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name in _COUNTED:
        return name
    if name.startswith("services."):
        return "services"
    return "persistentvolumeclaims" if name == "requests.storage" or ".storageclass.storage.k8s.io/" in name else "pods"


def covers(quota: Object, resource: str, obj: Object) -> bool:
    """Whether all scopes of the quota match the object. Only pods, and claims by their attributes class, have scopes."""
    spec = quota.get("spec") or {}
    scopes = [{"scopeName": s, "operator": "Exists"} for s in spec.get("scopes") or ()]
    return all(_in_scope(s, resource, obj) for s in [*scopes, *((spec.get("scopeSelector") or {}).get("matchExpressions") or ())])


def hard_of(quota: Object) -> Amounts:
    """The quota's bounds."""
    return {name: quantity.parse(amount) for name, amount in ((quota.get("spec") or {}).get("hard") or {}).items()}


def unsaid(hard: Iterable[str], pod: Object) -> str:
    """Which requests and limits a pod must say under a quota that bounds them, in the server's words; empty: none."""
    needed = _REQUIRED & set(hard)
    missing: dict[str, set[str]] = {}
    for container in [*_containers(pod, "containers"), *_containers(pod, "initContainers")]:
        for name in needed - set(_named(*_asked(container))):
            missing.setdefault(name, set()).add(container.get("name") or "")
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


def over(hard: Amounts, used: Amounts, more: Amounts) -> tuple[str, ...]:
    """The entries that ``more`` would bring above their bounds."""
    return tuple(n for n, amount in sorted(more.items()) if amount > 0 and n in hard and used.get(n, 0) + amount > hard[n])


def listed(names: Iterable[str], amounts: Amounts) -> str:
    """``cpu=1,memory=1Gi``."""
    return ",".join(f"{n}={text(n, amounts.get(n, Fraction(0)))}" for n in sorted(names))


def text(name: str, value: Fraction) -> str:
    """An amount as a quantity: memory and storage in binary units."""
    if any(kind in name for kind in _BINARY) and value >= 1024 and value % 1024 == 0:
        return quantity.canonical(f"{value // 1024}Ki")
    nanos = -(-value * 10**9 // 1)
    return quantity.canonical(f"{nanos}n")


def _containers(pod: Object, field: str) -> Sequence[Object]:
    return (pod.get("spec") or {}).get(field) or ()


def _asked(holder: Object) -> tuple[Amounts, Amounts]:
    """(requests, limits) of a container."""
    resources = holder.get("resources") or {}
    return _amounts(resources.get("requests")), _amounts(resources.get("limits"))


def _amounts(quantities: Mapping[str, str] | None) -> Amounts:
    return {name: quantity.parse(amount) for name, amount in (quantities or {}).items()}


def _named(requests: Amounts, limits: Amounts) -> Amounts:
    """Requests and limits under the names a quota knows them by."""
    bare = {n: a for n, a in requests.items() if n in _SHORT or n.startswith("hugepages-")}
    asked = {f"requests.{n}": a for n, a in requests.items()}
    return bare | asked | {f"limits.{n}": a for n, a in limits.items() if n in _SHORT}


def _pod(pod: Object, now: datetime) -> Amounts:
    """A pod that ended, or outlived its deletion, counts as an object only."""
    status, gone = pod.get("status") or {}, pod["metadata"].get("deletionTimestamp")
    late = gone and parse_time(gone) + timedelta(seconds=pod["metadata"].get("deletionGracePeriodSeconds") or 0) < now
    if late or status.get("phase") in ("Succeeded", "Failed"):
        return {}
    overhead = _amounts((pod.get("spec") or {}).get("overhead"))
    requests, limits = _peak(pod, 0), _peak(pod, 1)
    return {"pods": _ONE} | _named(_sum(requests, overhead), {n: a + overhead.get(n, 0) for n, a in limits.items()})


def _peak(pod: Object, which: int) -> Amounts:
    """Containers and sidecars together, or the largest moment of the start."""
    running: Amounts = {}
    peak: Amounts = {}
    for container in _containers(pod, "initContainers"):
        asked = _asked(container)[which]
        moment = _sum(running, asked)
        peak = {n: max(peak.get(n, Fraction(0)), moment.get(n, Fraction(0))) for n in {*peak, *moment}}
        if container.get("restartPolicy") == "Always":
            running = moment
    for container in _containers(pod, "containers"):
        running = _sum(running, _asked(container)[which])
    return {n: max(peak.get(n, Fraction(0)), running.get(n, Fraction(0))) for n in {*peak, *running}}


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {n: one.get(n, Fraction(0)) + other.get(n, Fraction(0)) for n in {*one, *other}}


def _service(service: Object, now: datetime) -> Amounts:
    spec = service.get("spec") or {}
    ports = [p for p in spec.get("ports") or () if p.get("nodePort")]
    if spec.get("type") == "NodePort":
        return {"services.nodeports": Fraction(len(spec.get("ports") or ()))}
    if spec.get("type") == "LoadBalancer":
        wanted = len(ports) if spec.get("allocateLoadBalancerNodePorts") is False else len(spec.get("ports") or ())
        return {"services.loadbalancers": _ONE, "services.nodeports": Fraction(wanted)}
    return {}


def _claim(claim: Object, now: datetime) -> Amounts:
    spec = claim.get("spec") or {}
    found = {"persistentvolumeclaims": _ONE}
    asked = _amounts((spec.get("resources") or {}).get("requests"))
    if "storage" in asked:
        found["requests.storage"] = asked["storage"]
    name = (claim["metadata"].get("annotations") or {}).get(_BETA_CLASS) or spec.get("storageClassName")
    return found | ({f"{name}.storageclass.storage.k8s.io/{n}": a for n, a in found.items()} if name else {})


_SPECIAL: Mapping[str, Callable[[Object, datetime], Amounts]] = {
    "pods": _pod,
    "services": _service,
    "persistentvolumeclaims": _claim,
}


def _in_scope(scope: Object, resource: str, obj: Object) -> bool:
    name, operator = scope["scopeName"], scope["operator"]
    spec = obj.get("spec") or {}
    if resource == "persistentvolumeclaims" and name == "VolumeAttributesClass":
        return _by_value(scope, spec.get("volumeAttributesClassName") or "")
    if resource != "pods":
        return False
    if name == "PriorityClass":
        return _by_value(scope, spec.get("priorityClassName") or "")
    matches = _POD_SCOPES.get(name)
    found = matches is not None and matches(obj)
    return not found if operator == "DoesNotExist" else found


def _by_value(scope: Object, value: str) -> bool:
    values = scope.get("values") or ()
    outcome = {"Exists": bool(value), "DoesNotExist": not value, "In": value in values, "NotIn": value not in values}
    return outcome[scope["operator"]]


def _bounded(pod: Object) -> bool:
    return (pod.get("spec") or {}).get("activeDeadlineSeconds") is not None


def _best_effort(pod: Object) -> bool:
    return qos_class(pod) == "BestEffort"


def _affinity_terms(pod: Object) -> Iterator[Object]:
    affinity = (pod.get("spec") or {}).get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        yield from (w["podAffinityTerm"] for w in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ())


_POD_SCOPES: Mapping[str, Callable[[Object], bool]] = {
    "Terminating": _bounded,
    "NotTerminating": lambda pod: not _bounded(pod),
    "BestEffort": _best_effort,
    "NotBestEffort": lambda pod: not _best_effort(pod),
    "CrossNamespacePodAffinity": lambda pod: any(
        t.get("namespaces") or t.get("namespaceSelector") is not None for t in _affinity_terms(pod)
    ),
}
