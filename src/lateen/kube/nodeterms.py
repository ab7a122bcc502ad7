"""Node selector terms, taints and tolerations, host ports: asked once per kind of pod and node. Pure.

Used by the scheduler and the DaemonSet controller. Semantics as in ``component-helpers/scheduling/corev1`` of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = Mapping[str, Any]
NOT_READY: Json = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def requirement_holds(requirement: Json, labels: Mapping[str, str]) -> bool:
    """One ``{key, operator, values}`` of a node selector."""
    key, operator, values = requirement["key"], requirement["operator"], requirement.get("values") or ()
    value = labels.get(key)
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compare(operator, value, values)
    return False


def _compare(operator: str, value: str | None, values: Sequence[str]) -> bool:
    try:
        have, bound = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return have > bound if operator == "Gt" else have < bound


def term_holds(term: Json, name: str, labels: Mapping[str, str]) -> bool:
    """A ``NodeSelectorTerm``: all its expressions and fields; an empty term matches no node."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    if not all(requirement_holds(r, labels) for r in expressions):
        return False
    return all(requirement_holds(r, {"metadata.name": name}) for r in fields)


def node_selector_holds(selector: Json | None, name: str, labels: Mapping[str, str]) -> bool:
    """A ``NodeSelector`` (terms are alternatives); an absent one matches every node."""
    return selector is None or any(term_holds(t, name, labels) for t in selector.get("nodeSelectorTerms") or ())


def tolerates(toleration: Json, taint: Json) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator, wanted, given = toleration.get("operator") or "Equal", toleration.get("value") or "", taint.get("value") or ""
    if operator == "Exists":
        return True
    if operator in ("Gt", "Lt"):  # the taint's number against the toleration's
        return bool(toleration.get("key")) and _compare(operator, given, (wanted,))
    return bool(toleration.get("key")) and given == wanted


def untolerated(taints: Sequence[Json], tolerations: Sequence[Json], *effects: str) -> list[Json]:
    """The taints with one of ``effects`` that no toleration covers."""
    return [t for t in taints if t.get("effect") in effects and not any(tolerates(tol, t) for tol in tolerations)]


class Port(NamedTuple):
    """A host port; ``ip`` empty means every address."""

    ip: str
    protocol: str
    number: int

    def clashes(self, other: Port) -> bool:
        """Whether both cannot be bound on one host."""
        same = self.protocol == other.protocol and self.number == other.number
        return same and (not self.ip or not other.ip or self.ip == other.ip)
