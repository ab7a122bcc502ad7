"""Which nodes can take a pod at all, looking at the node alone, and how well it suits. Pure; used by ``decide``.

Reasons are worded as kube-scheduler's, in the order of its plugins: the first plugin that refuses speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from lateen.cluster.scheduler.demand import Demand
from lateen.cluster.scheduler.scores import Liking
from lateen.cluster.scheduler.state import NodeFacts, NodeState
from lateen.cluster.scheduler.volumes import VolumeNeeds
from lateen.kube.nodeterms import node_selector_holds, term_holds, untolerated

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node cannot take the pod. ``evicting`` tells whether fewer pods on it could help."""

    reasons: tuple[str, ...]
    evicting: bool = False


def standing_refusal(demand: Demand, name: str, facts: NodeFacts, volumes: VolumeNeeds) -> Refusal | None:
    """The first reason against the node that no pod coming or going can change, or None."""
    if facts.unschedulable and untolerated((UNSCHEDULABLE_TAINT,), demand.tolerations, "NoSchedule"):
        return Refusal(("node(s) were unschedulable",))
    if taints := untolerated(facts.taints, demand.tolerations, "NoSchedule", "NoExecute"):
        return Refusal((f"node(s) had untolerated taint {{{taints[0]['key']}: {taints[0].get('value') or ''}}}",))
    if not suits(demand, name, facts):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",))
    if not all(node_selector_holds(a, name, facts.labels) for a in volumes.affinities):
        return Refusal(("node(s) had volume node affinity conflict",))
    if volumes.waiting and volumes.at(name, facts.labels) is None:
        return Refusal(("node(s) didn't find available persistent volumes to bind",))
    return None


def passing_refusal(demand: Demand, node: NodeState, facts: NodeFacts) -> Refusal | None:
    """The first reason against the node that lies in the pods it has, or None."""
    if demand.ports and any(wanted.clashes(taken) for wanted in demand.ports for taken in node.ports):
        return Refusal(("node(s) didn't have free ports for the requested pod ports",), evicting=True)
    return shortages(demand, node, facts)


def suits(demand: Demand, name: str, facts: NodeFacts) -> bool:
    """nodeSelector and required node affinity."""
    if any(facts.labels.get(k) != v for k, v in demand.node_selector.items()):
        return False
    return node_selector_holds(demand.required, name, facts.labels)


def shortages(demand: Demand, node: NodeState, facts: NodeFacts) -> Refusal | None:
    """Every resource of which too little is free."""
    allocatable, requested = facts.allocatable, node.requested
    reasons = ["Too many pods"] if node.pods >= allocatable.get("pods", 110) else []
    for resource, amount in demand.requests.items():
        if amount > allocatable.get(resource, 0) - requested.get(resource, 0):
            reasons.append(f"Insufficient {resource}")
    if not reasons:
        return None
    return Refusal(tuple(reasons), evicting=all(a <= allocatable.get(r, 0) for r, a in demand.requests.items()))


def liking(demand: Demand, name: str, facts: NodeFacts) -> Liking:
    """Preferred node affinity, and soft taints that the pod does not tolerate."""
    preferred = sum(t["weight"] for t in demand.preferred if term_holds(t["preference"], name, facts.labels))
    taints = len(untolerated(facts.taints, demand.tolerations, "PreferNoSchedule")) if facts.taints else 0
    return Liking(preferred, taints)


def passing_score(demand: Demand, node: NodeState, facts: NodeFacts) -> float:
    """Room left (0..100), and for pods that ask for something the balance of cpu and memory (0..100)."""
    cpu, memory = facts.allocatable.get("cpu", 0), facts.allocatable.get("memory", 0)
    total = 100 - 50 * (_share(node.cpu + demand.cpu, cpu) + _share(node.memory + demand.memory, memory))
    asked, taken = demand.requests, node.requested
    if "cpu" in asked or "memory" in asked:
        of_cpu = _share(taken.get("cpu", 0) + asked.get("cpu", 0), cpu)
        total += 100 - 50 * abs(of_cpu - _share(taken.get("memory", 0) + asked.get("memory", 0), memory))
    return total


def _share(used: int, of: int) -> float:
    return used / of if used < of else 1.0
