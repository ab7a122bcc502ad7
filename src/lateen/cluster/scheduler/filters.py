"""Which nodes can take a pod at all, looking at the node alone, and how well it suits. Pure; used by ``decide``.

Reasons are worded as kube-scheduler's, in the order of its plugins: the first plugin that refuses speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lateen.cluster.scheduler.demand import Demand
from lateen.cluster.scheduler.state import NodeFacts, NodeState
from lateen.cluster.scheduler.terms import Json, node_selector_holds, term_holds, untolerated
from lateen.cluster.scheduler.volumes import VolumeNeeds

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node cannot take the pod. ``evicting`` tells whether fewer pods on it could help."""

    reasons: tuple[str, ...]
    evicting: bool = False


def refusal(demand: Demand, node: NodeState, facts: NodeFacts, volumes: VolumeNeeds) -> Refusal | None:
    """The first reason against the node, or None."""
    if facts.unschedulable and untolerated((UNSCHEDULABLE_TAINT,), demand.tolerations, "NoSchedule"):
        return Refusal(("node(s) were unschedulable",))
    if taints := untolerated(facts.taints, demand.tolerations, "NoSchedule", "NoExecute"):
        return Refusal((f"node(s) had untolerated taint {{{taints[0]['key']}: {taints[0].get('value') or ''}}}",))
    if not suits(demand, node.name, facts):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",))
    if any(wanted.clashes(taken) for wanted in demand.ports for taken in node.ports):
        return Refusal(("node(s) didn't have free ports for the requested pod ports",), evicting=True)
    if short := shortages(demand, node, facts):
        return short
    if not all(node_selector_holds(a, node.name, facts.labels) for a in volumes.affinities):
        return Refusal(("node(s) had volume node affinity conflict",))
    if not volumes.allows(node.name, facts.labels):
        return Refusal(("node(s) didn't find available persistent volumes to bind",))
    return None


def suits(demand: Demand, name: str, facts: NodeFacts) -> bool:
    """nodeSelector and required node affinity."""
    if any(facts.labels.get(k) != v for k, v in demand.node_selector.items()):
        return False
    return node_selector_holds(demand.required, name, facts.labels)


def shortages(demand: Demand, node: NodeState, facts: NodeFacts) -> Refusal | None:
    """Every resource of which too little is free."""
    allocatable, reasons = facts.allocatable, []
    if node.pods + 1 > allocatable.get("pods", 110):
        reasons.append("Too many pods")
    reasons += [
        f"Insufficient {resource}"
        for resource, amount in demand.requests.items()
        if amount > allocatable.get(resource, 0) - node.requested.get(resource, 0)
    ]
    if not reasons:
        return None
    return Refusal(tuple(reasons), evicting=all(a <= allocatable.get(r, 0) for r, a in demand.requests.items()))


def score(demand: Demand, node: NodeState, facts: NodeFacts) -> float:
    """How well the node suits: room left (0..100), balance of cpu and memory (0..100), preferred affinity (0..200), less soft
    taints (300 each) and pods of the same workload already there (25 each). Weights as kube-scheduler's defaults."""
    cpu = _share(node.cpu + demand.cpu, facts.allocatable.get("cpu", 0))
    memory = _share(node.memory + demand.memory, facts.allocatable.get("memory", 0))
    total = 50 * (1 - cpu) + 50 * (1 - memory) + 100 * (1 - abs(cpu - memory) / 2)
    if demand.preferred:
        total += 200 * _preferred(demand.preferred, node.name, facts)
    if facts.taints:
        total -= 300 * len(untolerated(facts.taints, demand.tolerations, "PreferNoSchedule"))
    if demand.siblings and not demand.spread:
        total -= 25 * node.siblings.get(demand.siblings, 0)
    return total


def _share(used: int, of: int) -> float:
    return min(1.0, used / of) if of else 1.0


def _preferred(terms: Sequence[Json], name: str, facts: NodeFacts) -> float:
    """The part of the preferred weight that holds here."""
    total = sum(t["weight"] for t in terms)
    held = sum(t["weight"] for t in terms if term_holds(t["preference"], name, facts.labels))
    return held / total if total else 0.0
