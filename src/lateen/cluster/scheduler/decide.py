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
    liking,
    passing_refusal,
    passing_score,
    standing_refusal,
    suits,
)
from lateen.cluster.scheduler.preemption import Preemption, choose, leaving
from lateen.cluster.scheduler.scores import Liking, Near, crowding, drawn, liked, spread, spread_by_default
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
Place = tuple[str | None, ...]  # a node's values of all topology keys that rules speak of
_ZONE, _HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


class _Foreign(NamedTuple):
    """A term of pods that are placed already and speaks of this one. ``weight`` 0: it keeps it away."""

    other: Demand
    term: PodTerm
    weight: int


class _Entry(NamedTuple):
    """One node's answer. ``standing``, ``liking`` and ``place`` hold as long as ``facts``; ``share`` is what the node adds to the
    sums of its domains, ``near`` to that of its zone, both kept to be taken back."""

    facts: NodeFacts
    standing: Refusal | None
    liking: Liking
    place: Place
    near: Near
    refusal: Refusal | None
    share: Mapping[Domain, int]


class _Plan:
    """Every node's answer to one demand, kept current."""

    def __init__(self, demand: Demand, cluster: Cluster) -> None:
        self._demand, self._cluster = demand, cluster
        self._rules: tuple[Spread | PodTerm, ...] = (*demand.spread, *demand.pod_terms)
        self._foreign, self._foreign_at = _foreign(demand, cluster), cluster.terms_generation
        self._topology_keys = list(dict.fromkeys([r.topology_key for r in (*self._rules, *(f.term for f in self._foreign))]))
        self._domains = bool(self._topology_keys)
        self._volumes: VolumeNeeds = volume_needs(demand, cluster)
        self._built_at = (cluster.removed, cluster.storage_generation)
        self._seen = 0
        self._entries: dict[str, _Entry] = {}
        self._scores: dict[str, float] = {}  # of nodes that are not refused, by themselves
        self._likings: dict[str, Liking] = {}  # where there is something to like or not
        self._near: dict[str, Near] = {}  # of nodes that are not refused
        self._in_zone: Counter[str] = Counter()  # pods of the same workload
        self._counted: dict[tuple[int, Demand], bool] = {}
        self._sums: dict[Domain, int] = {}
        self._members: dict[Domain, int] = {}

    def stale(self) -> bool:
        """Whether something changed that no single node's generation tells."""
        removed, storage = self._built_at
        if removed != self._cluster.removed or (self._demand.claims and storage != self._cluster.storage_generation):
            return True
        if self._foreign_at != self._cluster.terms_generation:
            self._foreign_at = self._cluster.terms_generation
            return self._foreign != _foreign(self._demand, self._cluster)
        return False

    def decide(self, *, never: bool = False, nominated: str = "") -> Decision:
        """The best node now. ``never``: the pod does not preempt; ``nominated``: where it did already."""
        if self._volumes.problem:
            return Decision(message=_message(self._cluster, self._volumes.problem, None))
        if any(self._cluster.claim_users.get(Key(self._demand.namespace, c)) for c in self._volumes.exclusive):
            return Decision(message=_message(self._cluster, f"{len(self._cluster.nodes)} {EXCLUSIVE_REASON}", None))
        self._catch_up()
        able, refused = self._by_rules() if self._domains else (self._scores, {})
        if able:
            scores = self._compared(able)
            best = max(scores, key=scores.__getitem__)
            return Decision(node=best, volumes=self._volumes.at(best, self._entries[best].facts.labels) or NOTHING)
        if never:
            return Decision(message=self._explain(refused, "not eligible due to preemptionPolicy=Never."))
        if (node := self._cluster.nodes.get(nominated)) is not None and leaving(self._demand, node):
            return Decision(message=self._explain(refused, "not eligible due to a terminating pod on the nominated node."))
        budgets = tuple(self._cluster.budgets.values())
        found = choose(self._demand, self._helpful(refused), budgets, self._hosts)
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
        if facts is None or old is None or old.facts is not facts:
            self._forget(name, old)
            old = None
        if facts is None:
            return
        standing, likes, place, near = old[1:5] if old is not None else self._standing(name, facts)
        if near.pods != (pods := node.siblings.get(demand.siblings, 0) if demand.siblings else 0):
            self._in_zone[near.zone] += pods - near.pods
            near = Near(pods, near.zone)
        against = standing or passing_refusal(demand, node, facts)
        share = self._share(node, facts) if self._domains else {}
        self._entries[name] = _Entry(facts, standing, likes, place, near, against, share)
        if share:
            self._tally(share, +1)
        if against is None:
            self._scores[name], self._near[name] = passing_score(demand, node, facts), near
        else:
            self._scores.pop(name, None)
            self._near.pop(name, None)

    def _standing(self, name: str, facts: NodeFacts) -> tuple[Refusal | None, Liking, Place, Near]:
        """What the node's facts alone say."""
        likes = liking(self._demand, name, facts)
        if any(likes):
            self._likings[name] = likes
        place = tuple([facts.labels.get(k) for k in self._topology_keys])
        return standing_refusal(self._demand, name, facts, self._volumes), likes, place, Near(0, facts.labels.get(_ZONE, ""))

    def _forget(self, name: str, old: _Entry | None) -> None:
        """What followed from facts that do not hold any more."""
        for table in (self._scores, self._near, self._likings):
            table.pop(name, None)
        if old is not None:
            self._in_zone[old.near.zone] -= old.near.pods

    def _compared(self, found: Mapping[str, float]) -> Mapping[str, float]:
        """The scores with what depends on the other nodes that could take the pod."""
        if not self._demand.spread and any(self._in_zone.values()):
            near = self._near
            places = set(near.values()) if found is self._scores else {near[n] for n in found}
            worth = spread_by_default(places, self._in_zone, len(found))
            found = {n: score + worth[near[n]] for n, score in found.items()}
        if self._likings and (likes := liked(self._likings, found)):
            found = {n: score + likes.get(n, 0.0) for n, score in found.items()}
        return found

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
        for number, foreign in enumerate(self._foreign, len(self._rules)):
            value = facts.labels.get(foreign.term.topology_key)
            if value is not None:
                share[(number, value)] = node.demands.get(foreign.other, 0)
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

    def _by_rules(self) -> tuple[dict[str, float], dict[str, Refusal]]:
        """The scores of the nodes that no rule refuses, and who is refused. Nodes at one place get one answer."""
        floors, keys, entries = self._floors(), self._topology_keys, self._entries
        answers = {p: self._rule_refusal(dict(zip(keys, p, strict=True)), floors) for p in {entries[n].place for n in self._scores}}
        refused = {n: against for n in self._scores if (against := answers[entries[n].place]) is not None}
        open_to = {n: entries[n].place for n in self._scores if n not in refused}
        worth = self._worth(open_to.values())
        return {n: self._scores[n] + worth.get(place, 0.0) for n, place in open_to.items()}, refused

    def _worth(self, places: Iterable[Place]) -> dict[Place, float]:
        """Soft spreading and pod affinity of the places where the pod may go; the same place as often as there are nodes."""
        nodes, soft = Counter(places), [(n, r) for n, r in enumerate(self._demand.spread) if not r.hard]
        at = {place: dict(zip(self._topology_keys, place, strict=True)) for place in nodes}
        pulls = {place: self._pull(values) for place, values in at.items()}
        inside = [p for p, values in at.items() if all(values[r.topology_key] is not None for _, r in soft)]
        sizes = {n: len({at[p][r.topology_key] for p in inside}) for n, r in soft}
        crowds = {p: crowding([(self._sum(n, at[p]), sizes[n], r.max_skew) for n, r in soft]) for p in inside} if soft else {}
        by_spread, by_pods = spread(crowds), drawn(pulls)
        return {p: by_spread.get(p, 0.0) + by_pods.get(p, 0.0) for p in nodes}

    def _sum(self, number: int, values: Mapping[str, str | None]) -> int:
        """How many pods count for a rule in the domain of these values."""
        return self._sums.get((number, values[self._rules[number].topology_key] or ""), 0)

    def _pull(self, values: Mapping[str, str | None]) -> float:
        """Preferred affinity, of this pod to others and of others to it."""
        own = [r.weight * self._sum(n, values) for n, r in enumerate(self._rules) if isinstance(r, PodTerm) and r.weight]
        numbered = enumerate(self._foreign, len(self._rules))
        return sum(own) + sum(
            [f.weight * self._sums.get((n, values[f.term.topology_key] or ""), 0) for n, f in numbered if f.weight]
        )

    def _floors(self) -> list[int]:
        """For each spread constraint: the fewest matching pods in any domain (0 when there are too few domains)."""
        floors = []
        for number, rule in enumerate(self._demand.spread):
            counts = [total for (n, _), total in self._sums.items() if n == number]
            floors.append(min(counts) if counts and len(counts) >= rule.min_domains else 0)
        return floors

    def _rule_refusal(self, labels: Mapping[str, str | None], floors: list[int]) -> Refusal | None:
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
        for number, foreign in enumerate(self._foreign, len(self._rules)):
            if not foreign.weight and self._sums.get((number, labels.get(foreign.term.topology_key) or ""), 0):
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


def _foreign(demand: Demand, cluster: Cluster) -> list[_Foreign]:
    """The terms of placed pods that speak of ``demand``: required anti-affinity refuses, the rest weighs."""
    return [
        _Foreign(other, term, term.weight or (0 if term.anti else 1))
        for other in cluster.terms
        for term in other.pod_terms
        if selects(term, demand, cluster.namespaces)
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
