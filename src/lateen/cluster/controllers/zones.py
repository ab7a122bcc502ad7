"""How fast pods may be driven from silent nodes: rarely where much of a zone is silent, not at all where everything is. Pure.

Follows kube-controller-manager's node lifecycle controller with its default rates. ``controllers.node`` asks before it taints.
"""

from __future__ import annotations

from collections.abc import Iterable

from lateen.kube.meta import Object, condition_true, labels_of

_RATE, _SLOW_RATE = 0.1, 0.01  # nodes per second
_LARGE, _MANY_SILENT = 50, 0.55
FULL, PARTIAL, NORMAL = "FullDisruption", "PartialDisruption", "Normal"


def zone_of(node: Object) -> str:
    """The node's region and zone as one name."""
    labels = labels_of(node)
    return f"{labels.get('topology.kubernetes.io/region', '')}:{labels.get('topology.kubernetes.io/zone', '')}"


def state_of(nodes: Iterable[Object]) -> tuple[str, int]:
    """How a zone is, and how many nodes it has."""
    ready = [condition_true(n, "Ready") for n in nodes]
    silent = ready.count(False)
    if silent and silent == len(ready):
        return FULL, len(ready)
    if silent > 2 and silent / len(ready) >= _MANY_SILENT:
        return PARTIAL, len(ready)
    return NORMAL, len(ready)


def rates(nodes: Iterable[Object]) -> dict[str, float]:
    """Per zone: how many nodes a second may lose their pods. Where every zone is lost the fault is rather here: none does."""
    zones: dict[str, list[Object]] = {}
    for node in nodes:
        zones.setdefault(zone_of(node), []).append(node)
    states = {zone: state_of(members) for zone, members in zones.items()}
    if all(state == FULL for state, _ in states.values()):
        return dict.fromkeys(states, 0.0)
    return {zone: _rate(state, size) for zone, (state, size) in states.items()}


def _rate(state: str, size: int) -> float:
    if state != PARTIAL:
        return _RATE
    return _SLOW_RATE if size > _LARGE else 0.0
