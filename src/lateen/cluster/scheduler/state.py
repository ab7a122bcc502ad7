"""The scheduler's picture of the cluster, kept up to date one object at a time. Pure: ``loop`` feeds it, ``decide`` reads it.

Nodes carry a generation and stand in the order of their last change, so that a plan revisits only what moved. A pod counts on
its node from the moment it is assumed there, before the API server knows.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lateen.cluster.scheduler.amounts import amounts_of
from lateen.cluster.scheduler.demand import Demand, PodTerm, demand_of
from lateen.kube.meta import Key, Object, Uid, condition, key_of, labels_of, meta, uid_of
from lateen.kube.nodeterms import NOT_READY, Json, Port
from lateen.kube.selectors import Predicate, from_selector


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node says of itself, as far as decisions depend on it."""

    labels: Mapping[str, str]
    taints: tuple[Json, ...]
    allocatable: Mapping[str, int]
    unschedulable: bool


def facts_of(node: Object) -> NodeFacts:
    """The node's facts. One that is not Ready has the not-ready taint, whether or not a controller wrote it already."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    taints = tuple(spec.get("taints") or ())
    ready = condition(status.get("conditions"), "Ready")
    if (ready is None or ready.get("status") != "True") and not any(t["key"].startswith("node.kubernetes.io/") for t in taints):
        taints += (NOT_READY,)
    return NodeFacts(
        labels=labels_of(node),
        taints=taints,
        allocatable=amounts_of(status.get("allocatable") or status.get("capacity") or {}),
        unschedulable=bool(spec.get("unschedulable")),
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod on a node. ``counted`` is False once it is terminating: it still uses the node, but spreading ignores it. ``bound`` is
    False for one that waits for room there; ``since`` is when it began, as text."""

    uid: Uid
    key: Key
    node: str
    demand: Demand
    counted: bool
    bound: bool
    since: str


@dataclass(frozen=True, slots=True)
class Budget:
    """What a PodDisruptionBudget allows now."""

    namespace: str
    selects: Predicate
    allowed: int


class NodeState:
    """A node and what its pods take."""

    __slots__ = ("cpu", "demands", "facts", "generation", "memory", "name", "placed", "pods", "ports", "requested", "siblings")

    def __init__(self, name: str) -> None:
        self.name, self.generation = name, 0
        self.facts: NodeFacts | None = None  # None: pods name it, but it does not exist (yet)
        self.requested: dict[str, int] = {}
        self.cpu = self.memory = self.pods = 0
        self.ports: list[Port] = []
        self.demands: dict[Demand, int] = {}  # counted pods per demand
        self.siblings: dict[bytes, int] = {}
        self.placed: dict[Uid, Placed] = {}

    def without(self, gone: Container[Uid]) -> NodeState:
        """The node as it would be without some of its pods."""
        left = NodeState(self.name)
        left.facts = self.facts
        for uid, placed in self.placed.items():
            if uid not in gone:
                left.put(placed, +1)
        return left

    def put(self, placed: Placed, sign: int) -> None:
        """Add (+1) or take away (-1) a pod."""
        demand = placed.demand
        for resource, amount in demand.requests.items():
            self.requested[resource] = self.requested.get(resource, 0) + sign * amount
        self.cpu += sign * demand.cpu
        self.memory += sign * demand.memory
        self.pods += sign
        if sign > 0:
            self.placed[placed.uid] = placed
        else:
            self.placed.pop(placed.uid, None)
        for port in demand.ports:
            (self.ports.append if sign > 0 else self.ports.remove)(port)
        if placed.counted:
            _count(self.demands, demand, sign)
            _count(self.siblings, demand.siblings, sign)


def _count(counter: dict[Any, int], key: Any, sign: int) -> None:
    total = counter.get(key, 0) + sign
    if total:
        counter[key] = total
    else:
        counter.pop(key, None)


class Cluster:
    """Nodes, pods, volumes and namespaces as the scheduler sees them."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeState] = {}  # schedulable or not; in the order of their last change
        self.generation = 0
        self.removed = 0  # counts changes that no node's generation tells: nodes that left, labels of namespaces
        self.claims: dict[tuple[str, str], Object] = {}
        self.volumes: dict[str, Object] = {}
        self.storage_classes: dict[str, Object] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.reserved: dict[str, Key] = {}  # volumes given to claims, before the API server knows
        self.claim_users: dict[Key, dict[str, int]] = {}  # per claim: how many pods on which node
        self.storage_generation = 0
        self.budgets: dict[Key, Budget] = {}
        self.terms: dict[Demand, int] = {}  # placed pods with affinity to other pods, per demand
        self.terms_generation = 0
        self._pods: dict[Uid, Placed] = {}
        self._demands: dict[bytes, Demand] = {}

    # nodes

    def set_node(self, node: Object) -> bool:
        """Take a node's newest form. True if anything that decisions depend on changed."""
        name, facts = meta(node)["name"], facts_of(node)
        state = self.nodes.get(name) or self._add(name)
        if state.facts == facts:
            return False
        state.facts = facts
        self._touch(state)
        return True

    def remove_node(self, name: str) -> None:
        """The node is gone; its pods stay accounted for until they go."""
        if state := self.nodes.get(name):
            state.facts = None
            self._touch(state)
            self._forget_if_empty(state)

    def names(self) -> list[str]:
        """The nodes that exist."""
        return [n.name for n in self.nodes.values() if n.facts is not None]

    def changed_since(self, generation: int) -> Iterator[NodeState]:
        """Nodes changed after ``generation``, newest first."""
        for state in reversed(self.nodes.values()):
            if state.generation <= generation:
                return
            yield state

    # pods

    def demand(self, pod: Object) -> Demand:
        """The pod's demand, shared among equal pods."""
        if len(self._demands) > _MAX_DEMANDS:
            self._demands.clear()
        return demand_of(pod, self._demands)

    def set_pod(self, pod: Object, node: str = "", *, bound: bool = True) -> None:
        """Account for a pod on ``node`` (default: where it is bound). A finished pod takes nothing. ``bound=False``: room is kept
        for it, until those that have to leave are gone."""
        uid, phase = uid_of(pod), (pod.get("status") or {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            self.remove_pod(uid)
            return
        name, before = node or pod["spec"].get("nodeName") or "", self._pods.get(uid)
        counted = "deletionTimestamp" not in pod["metadata"]
        same = before is not None and (before.node, before.counted, before.bound) == (name, counted, bound)
        if before is not None and same and _same_labels(before, pod):
            return
        self.remove_pod(uid)
        if name:
            since = (pod.get("status") or {}).get("startTime") or meta(pod).get("creationTimestamp") or ""
            placed = self._pods[uid] = Placed(uid, key_of(pod), name, self.demand(pod), counted, bound, since)
            self._put(placed, +1)

    def remove_pod(self, uid: Uid) -> bool:
        """The pod is gone (or not bound after all). True if it took something."""
        placed = self._pods.pop(uid, None)
        if placed is None:
            return False
        self._put(placed, -1)
        return True

    def node_of(self, uid: Uid) -> str:
        """Where the pod is accounted for, or ''."""
        placed = self._pods.get(uid)
        return placed.node if placed else ""

    # budgets, volumes and namespaces

    def set_budget(self, budget: Object, *, gone: bool = False) -> None:
        """Take a PodDisruptionBudget's newest form."""
        key, spec = key_of(budget), budget.get("spec") or {}
        self.budgets.pop(key, None)
        if not gone:
            allowed = int((budget.get("status") or {}).get("disruptionsAllowed") or 0)
            self.budgets[key] = Budget(key.namespace, from_selector(spec.get("selector")), allowed)

    def set_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Take a namespace's labels, which pod affinity terms may select by."""
        if self.namespaces.get(name) != labels:
            self.namespaces[name] = labels
            self.removed += 1

    def set_storage(self, kind: str, obj: Object, *, gone: bool = False) -> None:
        """Take the newest form of a PersistentVolumeClaim, PersistentVolume or StorageClass."""
        table: dict[Any, Object]
        table = {"PersistentVolumeClaim": self.claims, "PersistentVolume": self.volumes}.get(kind, self.storage_classes)  # type: ignore[assignment]
        key = tuple(key_of(obj)) if kind == "PersistentVolumeClaim" else meta(obj)["name"]
        if gone:
            table.pop(key, None)
        else:
            table[key] = obj
        if kind == "PersistentVolume" and (gone or obj["spec"].get("claimRef")):
            self.reserved.pop(meta(obj)["name"], None)
        self.storage_generation += 1

    def reserve(self, volume: str, claim: Key) -> None:
        """The volume is for the claim, which is being written down."""
        self.reserved[volume] = claim
        self.storage_generation += 1

    def release(self, volume: str) -> None:
        """It could not be written down."""
        if self.reserved.pop(volume, None):
            self.storage_generation += 1

    def _put(self, placed: Placed, sign: int) -> None:
        state = self.nodes.get(placed.node) or self._add(placed.node)
        state.put(placed, sign)
        if placed.counted and placed.demand.pod_terms:
            before = len(self.terms)
            _count(self.terms, placed.demand, sign)
            self.terms_generation += before != len(self.terms)
        for claim in placed.demand.claims:
            users = self.claim_users.setdefault(Key(placed.demand.namespace, claim), {})
            _count(users, placed.node, sign)
            if not users:
                del self.claim_users[Key(placed.demand.namespace, claim)]
        self._touch(state)
        self._forget_if_empty(state)

    def _add(self, name: str) -> NodeState:
        state = self.nodes[name] = NodeState(name)
        return state

    def _touch(self, state: NodeState) -> None:
        self.generation += 1
        state.generation = self.generation
        self.nodes[state.name] = self.nodes.pop(state.name)

    def _forget_if_empty(self, state: NodeState) -> None:
        if state.facts is None and not state.pods:
            del self.nodes[state.name]
            self.removed += 1


def selects(term: PodTerm, demand: Demand, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a pod affinity term speaks of pods with ``demand``."""
    return term.selects(demand.namespace, demand.labels, namespaces.get(demand.namespace, {}))


_MAX_DEMANDS = 2_000


def _same_labels(placed: Placed, pod: Object) -> bool:
    return placed.demand.labels == labels_of(pod)
