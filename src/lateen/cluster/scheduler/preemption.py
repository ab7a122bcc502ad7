"""Which pods have to go so that one of higher priority fits. Pure; ``loop`` carries it out.

The choice is that of kube-scheduler's DefaultPreemption: on each node all pods of lower priority are taken away; if the pod fits
then, as many of them as possible are taken back, those that a PodDisruptionBudget protects first, then the more important. Of the
nodes, the one whose victims matter least wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lateen.cluster.scheduler.demand import Demand
from lateen.cluster.scheduler.state import Budget, NodeState, Placed

_HIGHEST = 1 << 31
_NODES, _PART = 100, 10  # candidates that are looked at: so many, or one in so many nodes of a large cluster
Fits = Callable[[NodeState], bool]


@dataclass(frozen=True, slots=True)
class Preemption:
    """The node, and the pods that have to leave it. ``violations``: how many of them a budget protects."""

    node: str
    victims: tuple[Placed, ...]
    violations: int


def choose(demand: Demand, nodes: Iterable[NodeState], budgets: Sequence[Budget], fits: Fits) -> Preemption | None:
    """The best preemption; None when none helps. ``fits`` says whether a node would take the pod as it is given."""
    found: list[Preemption] = []
    nodes = list(nodes)
    enough = max(_NODES, len(nodes) // _PART)
    for node in nodes:
        if (one := _on(demand, node, budgets, fits)) is not None:
            found.append(one)
        if len(found) >= enough and any(not f.violations for f in found):
            break
    return min(found, key=_cost, default=None)


def leaving(demand: Demand, node: NodeState) -> bool:
    """Whether pods of lower priority are on their way out of the node already."""
    return any(not p.counted and p.demand.priority < demand.priority for p in node.placed.values())


def _on(demand: Demand, node: NodeState, budgets: Sequence[Budget], fits: Fits) -> Preemption | None:
    lower = [p for p in node.placed.values() if p.demand.priority < demand.priority]
    if not lower:
        return None
    gone = {p.uid for p in lower}
    if not fits(node.without(gone)):
        return None
    protected, free = _sorted_out(sorted(lower, key=_importance), budgets)
    violations = 0
    for group, counts in ((protected, 1), (free, 0)):
        for placed in group:
            if fits(node.without(gone - {placed.uid})):
                gone.discard(placed.uid)
            else:
                violations += counts
    return Preemption(node.name, tuple(p for p in lower if p.uid in gone), violations)


def _importance(placed: Placed) -> tuple[int, str]:
    """The more important first: by priority, then by age."""
    return -placed.demand.priority, placed.since


def _sorted_out(pods: Sequence[Placed], budgets: Sequence[Budget]) -> tuple[list[Placed], list[Placed]]:
    """Those whose eviction would exceed a budget, and the others."""
    left = [b.allowed for b in budgets]
    protected: list[Placed] = []
    free: list[Placed] = []
    for placed in pods:
        hit = [n for n, b in enumerate(budgets) if b.namespace == placed.demand.namespace and b.selects(placed.demand.labels)]
        over = False
        for number in hit:
            left[number] -= 1
            over = over or left[number] < 0
        (protected if over else free).append(placed)
    return protected, free


def _cost(found: Preemption) -> tuple[object, ...]:
    """The less, the better: violations, the highest priority, the sum of priorities, how many; then the youngest leaders."""
    priorities = [p.demand.priority for p in found.victims]
    highest = max(priorities, default=0)
    oldest = min((p.since for p in found.victims if p.demand.priority == highest), default="")
    total = sum(priorities) + len(priorities) * _HIGHEST  # so that of two pods none can make up for the other
    return found.violations, highest, total, len(priorities), _later_first(oldest)


def _later_first(moment: str) -> tuple[int, ...]:
    return tuple(-ord(letter) for letter in moment)
