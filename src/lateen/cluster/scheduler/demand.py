"""What a pod asks of a node, compiled from its spec. Pods with an equal ``key`` get equal answers, so plans are shared. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from lateen.cluster.scheduler.amounts import amounts_of
from lateen.kube.claims import claims_of, ephemeral_claim
from lateen.kube.meta import Object, controller_of, labels_of, meta, uid_of
from lateen.kube.nodeterms import Json, Port
from lateen.kube.selectors import Predicate, from_selector

# Labels that tell replicas or revisions of one workload apart; without them its pods look alike.
_REPLICA_LABELS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
    }
)
_SETS = ("ReplicaSet", "ReplicationController", "StatefulSet")
# What a container without requests is taken to use when nodes are compared (never when they are filtered), as kube-scheduler.
_UNSAID_CPU, _UNSAID_MEMORY = 100, 200 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """A topology spread constraint. ``selects`` (labels of a pod) already holds its matchLabelKeys."""

    topology_key: str
    selects: Predicate
    max_skew: int
    min_domains: int
    hard: bool
    own: int  # 1 if the pod itself is selected
    honor_affinity: bool
    honor_taints: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PodTerm:
    """A pod affinity (or anti-affinity) term. ``weight`` is 0 for a required one, negative for anti-affinity."""

    topology_key: str
    pods: Predicate
    namespaces: frozenset[str]
    other_namespaces: Predicate
    anti: bool
    weight: int = 0

    def selects(self, namespace: str, labels: Mapping[str, str], of_namespace: Mapping[str, str]) -> bool:
        """Whether the term speaks of such a pod; ``of_namespace`` are the labels of the pod's namespace."""
        return (namespace in self.namespaces or self.other_namespaces(of_namespace)) and self.pods(labels)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demand:
    """Everything about a pod that a decision depends on. Amounts are whole units; cpu in thousandths."""

    key: bytes
    namespace: str
    labels: Mapping[str, str]
    siblings: bytes  # what the pods of one workload share, which are spread by default
    requests: Mapping[str, int]
    cpu: int  # for comparing nodes: never 0
    memory: int
    priority: int
    node_name: str
    node_selector: Mapping[str, str]
    required: Json | None
    preferred: tuple[Json, ...]
    tolerations: tuple[Json, ...]
    ports: tuple[Port, ...]
    spread: tuple[Spread, ...]
    pod_terms: tuple[PodTerm, ...]
    claims: tuple[str, ...]
    own_claims: Mapping[str, str]  # those of generic ephemeral volumes, with the pod's UID


def demand_of(pod: Object, known: dict[bytes, Demand] | None = None) -> Demand:
    """The pod's demand; the same one for every pod with the same key in ``known``, which is filled."""
    key = _key(pod)
    found = known.get(key) if known is not None else None
    if found is None:
        found = _compile(pod, key)
        if known is not None:
            known[key] = found
    return found


def _key(pod: Object) -> bytes:
    m, spec = pod["metadata"], pod["spec"]
    containers = [
        (c.get("resources"), c.get("ports"), c.get("restartPolicy"))
        for c in (*(spec.get("initContainers") or ()), {}, *spec["containers"])
    ]
    volumes = [v for v in spec.get("volumes") or () if "persistentVolumeClaim" in v or "ephemeral" in v]
    return orjson.dumps(
        (
            m.get("namespace"),
            m.get("labels"),
            (m["name"], m.get("uid")) if any("ephemeral" in v for v in volumes) else None,
            _set_of(pod),
            spec.get("nodeSelector"),
            spec.get("affinity"),
            spec.get("tolerations"),
            spec.get("topologySpreadConstraints"),
            spec.get("overhead"),
            spec.get("resources"),
            spec.get("priority"),
            spec.get("hostNetwork"),
            containers,
            volumes,
        )
    )


def _compile(pod: Object, key: bytes) -> Demand:
    spec, labels, namespace = pod["spec"], labels_of(pod), meta(pod).get("namespace") or ""
    affinity = spec.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    return Demand(
        key=key,
        namespace=namespace,
        labels=labels,
        siblings=_siblings(pod, labels, namespace),
        requests=pod_requests(spec),
        cpu=sum(_compared(c, "cpu", _UNSAID_CPU) for c in spec["containers"]),
        memory=sum(_compared(c, "memory", _UNSAID_MEMORY) for c in spec["containers"]),
        priority=spec.get("priority") or 0,
        node_name=spec.get("nodeName") or "",
        node_selector=spec.get("nodeSelector") or {},
        required=node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution"),
        preferred=tuple(node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()),
        tolerations=tuple(spec.get("tolerations") or ()),
        ports=tuple(_host_ports(spec)),
        spread=tuple(_spread(c, labels) for c in spec.get("topologySpreadConstraints") or ()),
        pod_terms=tuple(_pod_terms(affinity, namespace)),
        claims=tuple(claims_of(pod)),
        own_claims={ephemeral_claim(pod, v): uid_of(pod) for v in spec.get("volumes") or () if "ephemeral" in v},
    )


def _set_of(pod: Object) -> str:
    """The UID of the ReplicaSet, ReplicationController or StatefulSet that the pod belongs to, or ''."""
    ref = controller_of(pod)
    return str(ref["uid"]) if ref and ref["kind"] in _SETS else ""


def _siblings(pod: Object, labels: Mapping[str, str], namespace: str) -> bytes:
    """Pods of one set; others by their labels, as a Service would select them."""
    if owner := _set_of(pod):
        return owner.encode()
    common = {k: v for k, v in labels.items() if k not in _REPLICA_LABELS}
    return orjson.dumps((namespace, common), option=orjson.OPT_SORT_KEYS) if common else b""


def pod_requests(spec: Json) -> dict[str, int]:
    """What the pod takes from a node: containers and sidecars together, or the largest moment of its start; plus overhead."""
    running: dict[str, int] = {}
    peak: dict[str, int] = {}
    for init in spec.get("initContainers") or ():
        if init.get("restartPolicy") == "Always":
            _add(running, _requests(init))
            _raise(peak, running)
        else:
            _raise(peak, _sum(running, _requests(init)))
    for container in spec["containers"]:
        _add(running, _requests(container))
    _raise(peak, running)
    peak.update(_requests(spec))  # resources of the pod as a whole, where they are said
    _add(peak, amounts_of(spec.get("overhead") or {}))
    return {k: v for k, v in peak.items() if v}


def _requests(holder: Json) -> dict[str, int]:
    return amounts_of((holder.get("resources") or {}).get("requests") or {})


def _add(into: dict[str, int], more: Mapping[str, int]) -> None:
    for k, v in more.items():
        into[k] = into.get(k, 0) + v


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {k: one.get(k, 0) + other.get(k, 0) for k in (*one, *other)}


def _raise(into: dict[str, int], floor: Mapping[str, int]) -> None:
    for k, v in floor.items():
        into[k] = max(into.get(k, 0), v)


def _compared(container: Json, resource: str, unsaid: int) -> int:
    return _requests(container).get(resource) or unsaid


def _host_ports(spec: Json) -> Iterable[Port]:
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        for port in container.get("ports") or ():
            if number := port.get("hostPort"):
                ip = port.get("hostIP") or ""
                yield Port("" if ip in ("0.0.0.0", "::") else ip, port.get("protocol") or "TCP", number)  # noqa: S104 - a value, not a bind


def _spread(constraint: Json, labels: Mapping[str, str]) -> Spread:
    selector = constraint.get("labelSelector")
    extra = [{"key": k, "operator": "In", "values": [labels[k]]} for k in constraint.get("matchLabelKeys") or () if k in labels]
    if selector is not None and extra:
        selector = {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *extra]}
    selects = from_selector(selector)
    return Spread(
        topology_key=constraint["topologyKey"],
        selects=selects,
        max_skew=constraint["maxSkew"],
        min_domains=constraint.get("minDomains") or 1,
        hard=constraint.get("whenUnsatisfiable") != "ScheduleAnyway",
        own=int(selects(labels)),
        honor_affinity=constraint.get("nodeAffinityPolicy") != "Ignore",
        honor_taints=constraint.get("nodeTaintsPolicy") == "Honor",
    )


def _pod_terms(affinity: Json, namespace: str) -> Iterable[PodTerm]:
    for field, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        rules = affinity.get(field) or {}
        for term in rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            yield _pod_term(term, namespace, anti=sign < 0, weight=0)
        for entry in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield _pod_term(entry["podAffinityTerm"], namespace, anti=sign < 0, weight=sign * entry["weight"])


def _pod_term(term: Json, namespace: str, *, anti: bool, weight: int) -> PodTerm:
    elsewhere = term.get("namespaceSelector")
    return PodTerm(
        topology_key=term["topologyKey"],
        pods=from_selector(term.get("labelSelector")),
        namespaces=frozenset(term.get("namespaces") or (() if elsewhere is not None else (namespace,))),
        other_namespaces=from_selector(elsewhere),
        anti=anti,
        weight=weight,
    )
