"""Where a pod goes: ``Planner.decide`` answers with a node, or with the message that users of kubectl know. Pure.

Called by ``loop`` for one pod at a time; the caller then assumes the pod on its node in the Cluster. Pods with equal demands share
a plan: every node's answer is kept, and only nodes that changed since are asked again, so the usual decision costs one
evaluation and one maximum. All nodes take part in every decision (kube-scheduler samples large clusters instead).

What depends on more than one node (topology spreading, pod affinity) is counted in domains: each node contributes its matching
pods to the domain it lies in, and a plan keeps the sums.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lateen.cluster.scheduler.demand import Demand, PodTerm, Spread
from lateen.cluster.scheduler.filters import (
    Refusal,
    passing_refusal,
    passing_score,
    standing_refusal,
    standing_score,
    suits,
)
from lateen.cluster.scheduler.preemption import Preemption, choose, leaving
from lateen.cluster.scheduler.state import Cluster, NodeFacts, NodeState, selects
from lateen.cluster.scheduler.volumes import NOTHING, Binding, VolumeNeeds, volume_needs
from lateen.kube.meta import Key, Object
from lateen.kube.nodeterms import untolerated

_PLANS = 256  # demands whose plans are kept

SPREAD_REASON = "node(s) didn't match pod topology spread constraints"
SPREAD_LABEL_REASON = f"{SPREAD_REASON} (missing required label)"
AFFINITY_REASON = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY_REASON = "node(s) didn't match pod anti-affinity rules"
EXCLUSIVE_REASON = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
REPELLED_REASON = "node(s) didn't satisfy existing pods anti-affinity rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``node``, or empty with the ``message`` for the pod's PodScheduled condition. ``volumes`` serve the claims that wait for
    the node. ``preemption``: the pods that have to go first."""

    node: str = ""
    message: str = ""
    volumes: Binding = NOTHING
    preemption: Preemption | None = None


class Planner:
    """Decides over one Cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._plans: OrderedDict[bytes, _Plan] = OrderedDict()

    def decide(self, pod: Object) -> Decision:
        """Where ``pod`` goes now. Nothing is changed."""
        spec, nominated = pod["spec"], (pod.get("status") or {}).get("nominatedNodeName") or ""
        return self._plan(self.cluster.demand(pod)).decide(never=spec.get("preemptionPolicy") == "Never", nominated=nominated)

    def _plan(self, demand: Demand) -> _Plan:
        plan = self._plans.pop(demand.key, None)
        if plan is None or plan.stale():
            plan = _Plan(demand, self.cluster)
        self._plans[demand.key] = plan
        if len(self._plans) > _PLANS:
            self._plans.popitem(last=False)
        return plan


Domain = tuple[int, str]  # which rule, and the node's value of its topology key


class _Entry(NamedTuple):
    """One node's answer. ``standing`` and ``base`` hold as long as ``facts``; ``share`` is what the node adds to the sums of its
    domains, kept to be taken back."""

    facts: NodeFacts
    standing: Refusal | None
    base: float
    refusal: Refusal | None
    share: Mapping[Domain, int]


class _Plan:
    """Every node's answer to one demand, kept current."""

    def __init__(self, demand: Demand, cluster: Cluster) -> None:
        self._demand, self._cluster = demand, cluster
        self._rules: tuple[Spread | PodTerm, ...] = (*demand.spread, *demand.pod_terms)
        self._repelling = _repelling(demand, cluster)
        self._repelled_by = frozenset(d for d, _ in self._repelling)
        self._topology_keys = list(dict.fromkeys([r.topology_key for r in (*self._rules, *(t for _, t in self._repelling))]))
        self._domains = bool(self._rules or self._repelling)
        self._volumes: VolumeNeeds = volume_needs(demand, cluster)
        self._built_at = (cluster.removed, cluster.storage_generation)
        self._seen = 0
        self._entries: dict[str, _Entry] = {}
        self._scores: dict[str, float] = {}  # of nodes that are not refused
        self._counted: dict[tuple[int, Demand], bool] = {}
        self._sums: dict[Domain, int] = {}
        self._members: dict[Domain, int] = {}

    def stale(self) -> bool:
        """Whether something changed that no single node's generation tells."""
        removed, storage = self._built_at
        if removed != self._cluster.removed or (self._demand.claims and storage != self._cluster.storage_generation):
            return True
        return bool(self._cluster.repelling or self._repelling) and self._repelled_by != {
            d for d, _ in _repelling(self._demand, self._cluster)
        }

    def decide(self, *, never: bool = False, nominated: str = "") -> Decision:
        """The best node now. ``never``: the pod does not preempt; ``nominated``: where it did already."""
        if self._volumes.problem:
            return Decision(message=_message(self._cluster, self._volumes.problem, None))
        if any(self._cluster.claim_users.get(Key(self._demand.namespace, c)) for c in self._volumes.exclusive):
            return Decision(message=_message(self._cluster, f"{len(self._cluster.nodes)} {EXCLUSIVE_REASON}", None))
        self._catch_up()
        if not self._domains:
            best = max(self._scores, key=self._scores.__getitem__, default="")
            refused: dict[str, Refusal] = {}
        else:
            best, refused = self._best_by_rules()
        if best:
            return Decision(node=best, volumes=self._volumes.at(best, self._entries[best].facts.labels) or NOTHING)
        if never:
            return Decision(message=self._explain(refused, "not eligible due to preemptionPolicy=Never."))
        if (node := self._cluster.nodes.get(nominated)) is not None and leaving(self._demand, node):
            return Decision(message=self._explain(refused, "not eligible due to a terminating pod on the nominated node."))
        budgets = tuple(self._cluster.budgets.values())
        found = choose(self._demand, self._helpful(refused), budgets, self._hosts, of=len(self._entries))
        if found is not None:
            return Decision(message=self._explain(refused, ""), preemption=found)
        return Decision(message=self._explain(refused, None))

    def _helpful(self, refused: Mapping[str, Refusal]) -> Iterator[NodeState]:
        """The nodes on which fewer pods could help."""
        for name, entry in self._entries.items():
            against = entry.refusal or refused.get(name)
            if against is not None and against.evicting:
                yield self._cluster.nodes[name]

    def _hosts(self, node: NodeState) -> bool:
        """Whether the node would take the pod as it is given."""
        entry, facts = self._entries[node.name], node.facts
        if entry.standing is not None or facts is None or passing_refusal(self._demand, node, facts) is not None:
            return False
        if not self._domains:
            return True
        share = self._share(node, facts)
        self._tally(entry.share, -1)
        self._tally(share, +1)
        against = self._rule_refusal(facts.labels, self._floors())
        self._tally(share, -1)
        self._tally(entry.share, +1)
        return against is None

    def _catch_up(self) -> None:
        newest = self._cluster.generation
        for node in reversed([*self._cluster.changed_since(self._seen)]):  # oldest first: among equals the first one wins
            self._revisit(node)
        self._seen = newest

    def _revisit(self, node: NodeState) -> None:
        demand, facts, name = self._demand, node.facts, node.name
        old = self._entries.pop(name, None)
        if old is not None and old.share:
            self._tally(old.share, -1)
        if facts is None:
            self._scores.pop(name, None)
            return
        if old is not None and old.facts is facts:
            standing, base = old.standing, old.base
        else:
            standing, base = standing_refusal(demand, name, facts, self._volumes), standing_score(demand, name, facts)
        against = standing or passing_refusal(demand, node, facts)
        share = self._share(node, facts) if self._domains else {}
        self._entries[name] = _Entry(facts, standing, base, against, share)
        if share:
            self._tally(share, +1)
        if against is None:
            self._scores[name] = base + passing_score(demand, node, facts)
        else:
            self._scores.pop(name, None)

    # rules over domains

    def _tally(self, share: Mapping[Domain, int], sign: int) -> None:
        for domain, amount in share.items():
            self._sums[domain] = self._sums.get(domain, 0) + sign * amount
            members = self._members[domain] = self._members.get(domain, 0) + sign
            if not members:
                del self._sums[domain], self._members[domain]

    def _share(self, node: NodeState, facts: NodeFacts) -> dict[Domain, int]:
        share: dict[Domain, int] = {}
        for number, rule in enumerate(self._rules):
            value = facts.labels.get(rule.topology_key)
            if value is not None and (isinstance(rule, PodTerm) or self._eligible(rule, node.name, facts)):
                share[(number, value)] = sum([n for d, n in node.demands.items() if self._counts(number, d)])
        for offset, (repelling, term) in enumerate(self._repelling):
            value = facts.labels.get(term.topology_key)
            if value is not None:
                share[(len(self._rules) + offset, value)] = node.demands.get(repelling, 0)
        return share

    def _counts(self, number: int, other: Demand) -> bool:
        """Whether pods with ``other`` count for a rule; worked out once for each."""
        found = self._counted.get((number, other))
        if found is None:
            rule = self._rules[number]
            if isinstance(rule, PodTerm):
                found = selects(rule, other, self._cluster.namespaces)
            else:
                found = other.namespace == self._demand.namespace and rule.selects(other.labels)
            self._counted[number, other] = found
        return found

    def _eligible(self, rule: Spread, name: str, facts: NodeFacts) -> bool:
        """Whether the node takes part in the constraint: it has the keys of all hard ones and suits the pod."""
        if any(c.topology_key not in facts.labels for c in self._demand.spread if c.hard == rule.hard):
            return False
        if rule.honor_affinity and not suits(self._demand, name, facts):
            return False
        return not (rule.honor_taints and untolerated(facts.taints, self._demand.tolerations, "NoSchedule", "NoExecute"))

    def _best_by_rules(self) -> tuple[str, dict[str, Refusal]]:
        """The best node that no rule refuses. Nodes that lie in the same domains get the same answer, worked out once."""
        refused: dict[str, Refusal] = {}
        wishes: dict[str, float] = {}
        floors = self._floors()
        answers: dict[tuple[str | None, ...], Refusal | float] = {}
        keys, entries = self._topology_keys, self._entries
        for name in self._scores:
            labels = entries[name].facts.labels
            place = tuple([labels.get(k) for k in keys])
            answer = answers.get(place)
            if answer is None:
                answer = answers[place] = self._rule_refusal(labels, floors) or self._wish(labels)
            if isinstance(answer, Refusal):
                refused[name] = answer
            else:
                wishes[name] = answer
        if not wishes:
            return "", refused
        low, high = min(wishes.values()), max(wishes.values())
        if low == high:
            return max(wishes, key=self._scores.__getitem__), refused
        scale = 200 / (high - low)  # weight 2, as kube-scheduler weighs both
        return max(wishes, key=lambda n: self._scores[n] + (wishes[n] - low) * scale), refused

    def _floors(self) -> list[int]:
        """For each spread constraint: the fewest matching pods in any domain (0 when there are too few domains)."""
        floors = []
        for number, rule in enumerate(self._demand.spread):
            counts = [total for (n, _), total in self._sums.items() if n == number]
            floors.append(min(counts) if counts and len(counts) >= rule.min_domains else 0)
        return floors

    def _rule_refusal(self, labels: Mapping[str, str], floors: list[int]) -> Refusal | None:
        for number, rule in enumerate(self._rules):
            value = labels.get(rule.topology_key)
            if isinstance(rule, Spread):
                if not rule.hard:
                    continue
                if value is None:
                    return Refusal((SPREAD_LABEL_REASON,))
                if self._sums.get((number, value), 0) + rule.own - floors[number] > rule.max_skew:
                    return Refusal((SPREAD_REASON,), evicting=True)
            elif not rule.weight and (against := self._term_refusal(number, rule, value)):
                return against
        for offset, (_, term) in enumerate(self._repelling):
            if self._sums.get((len(self._rules) + offset, labels.get(term.topology_key, "")), 0):
                return Refusal((REPELLED_REASON,), evicting=True)
        return None

    def _term_refusal(self, number: int, term: PodTerm, value: str | None) -> Refusal | None:
        present = value is not None and self._sums.get((number, value), 0) > 0
        if term.anti:
            return Refusal((ANTI_AFFINITY_REASON,), evicting=True) if present else None
        if present or (value is not None and self._first_of_its_kind(number, term)):
            return None
        return Refusal((AFFINITY_REASON,))

    def _first_of_its_kind(self, number: int, term: PodTerm) -> bool:
        """Nobody matches yet, but the pod itself would: somebody has to be first."""
        nobody = not any(total for (n, _), total in self._sums.items() if n == number)
        return nobody and selects(term, self._demand, self._cluster.namespaces)

    def _wish(self, labels: Mapping[str, str]) -> float:
        """Soft spreading and preferred pod affinity: more is better."""
        total = 0.0
        for number, rule in enumerate(self._rules):
            here = self._sums.get((number, labels.get(rule.topology_key, "")), 0)
            if isinstance(rule, PodTerm):
                total += rule.weight * here
            elif not rule.hard:
                total -= 100 * here
        return total

    # words

    def _explain(self, refused: Mapping[str, Refusal], preemption: str | None) -> str:
        """The message; ``preemption`` is what is said of that, '' for nothing, None for each node's reason."""
        every = [*(e.refusal for e in self._entries.values() if e.refusal), *refused.values()]
        reasons = _histogram(r for refusal in every for r in refusal.reasons)
        if preemption is None:
            return _message(self._cluster, reasons, self._in_vain(refused))
        return _message(self._cluster, reasons, "", f"preemption: {preemption}" if preemption else "")

    def _in_vain(self, refused: Mapping[str, Refusal]) -> str:
        """Why preemption does not help, node by node."""
        helpful = [(entry.refusal or refused[name]).evicting for name, entry in self._entries.items()]
        words = {True: "No preemption victims found for incoming pod", False: "Preemption is not helpful for scheduling"}
        return _histogram(words[yes] for yes in helpful)


def _repelling(demand: Demand, cluster: Cluster) -> list[tuple[Demand, PodTerm]]:
    """Placed demands whose required anti-affinity speaks of ``demand``."""
    return [
        (other, term)
        for other in cluster.repelling
        for term in other.pod_terms
        if term.anti and not term.weight and selects(term, demand, cluster.namespaces)
    ]


def _histogram(reasons: Iterable[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in Counter(reasons).items()))


def _message(cluster: Cluster, reasons: str, preemption: str | None, instead: str | None = None) -> str:
    total = len(cluster.names())
    if not total:
        return "no nodes available to schedule pods"
    unhelpful = f"{total} Preemption is not helpful for scheduling"
    available = f"0/{total} nodes are available: "
    if instead is not None:
        return f"{available}{reasons}. {instead}".rstrip()
    return f"{available}{reasons}. preemption: {available}{preemption if preemption is not None else unhelpful}."
