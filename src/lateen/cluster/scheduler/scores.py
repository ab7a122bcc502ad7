"""How nodes that can take a pod compare where that depends on each other: kube-scheduler's normalised scores with its default
weights. Pure; used by ``decide``. What a node is worth by itself stands in ``filters.passing_score``.

A ``Place`` is whatever nodes share that makes their answers equal; it is worked out once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import NamedTuple, TypeVar

Place = TypeVar("Place", bound=Hashable)
_HOST_SKEW, _ZONE_SKEW = 3, 5  # of the spreading that every ReplicaSet has by default
_AFFINITY, _TAINTS, _SPREADING, _PODS = 200.0, 300.0, 200.0, 200.0  # weight times 100


class Liking(NamedTuple):
    """What a node says of itself: the weight of preferences that hold there, and how many soft taints speak against it."""

    preferred: int = 0
    taints: int = 0


class Near(NamedTuple):
    """How many pods of the same workload a node has, and its zone ('' for none)."""

    pods: int
    zone: str


def liked(likings: Mapping[str, Liking], names: Collection[str]) -> dict[str, float]:
    """Preferred node affinity and soft taints: of the nodes ``names``, those that differ from the others."""
    present = {n: found for n, found in likings.items() if n in names}
    most = max((p.preferred for p in present.values()), default=0) or 1
    worst = max((p.taints for p in present.values()), default=0) or 1
    return {n: _AFFINITY * p.preferred / most - _TAINTS * p.taints / worst for n, p in present.items()}


def spread_by_default(places: Collection[Near], in_zone: Mapping[str, int], nodes: int) -> dict[Near, float]:
    """The spreading that nobody asked for: over hosts, then over zones."""
    by_host, by_zone = math.log(nodes + 2), math.log(len({p.zone for p in places if p.zone}) + 2)

    def crowd(place: Near) -> float:
        found = place.pods * by_host + _HOST_SKEW - 1
        return found + in_zone.get(place.zone, 0) * by_zone + _ZONE_SKEW - 1 if place.zone else found

    return spread({p: crowd(p) for p in places})


def crowding(counts: Iterable[tuple[int, int, int]]) -> float:
    """How much of its like a node has by its soft constraints: (matching pods, number of domains, maxSkew) of each."""
    return sum(count * math.log(domains + 2) + skew - 1 for count, domains, skew in counts)


def spread(crowds: Mapping[Place, float]) -> dict[Place, float]:
    """The less of its like, the better."""
    high, low = max(crowds.values(), default=0.0), min(crowds.values(), default=0.0)
    return {p: _SPREADING * (high + low - crowd) / high if high else _SPREADING for p, crowd in crowds.items()}


def drawn(pulls: Mapping[Place, float]) -> dict[Place, float]:
    """Preferred pod affinity: the more, the better."""
    high, low = max(pulls.values(), default=0.0), min(pulls.values(), default=0.0)
    return {p: _PODS * (pull - low) / (high - low) for p, pull in pulls.items()} if high > low else {}
