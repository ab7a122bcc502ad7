"""Where a pod may run: node selector, tolerations, affinity, spreading."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, follows, label_map, label_selector, one_of
from lateen.kube.validation.errors import forbidden, invalid, required

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OPERATORS = ("Equal", "Exists", "Gt", "Lt")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"


def scheduling(spec: Object, at: str) -> Errors:
    """The scheduling fields of a pod's spec."""
    yield from label_map(spec.get("nodeSelector"), f"{at}.nodeSelector")
    for field, toleration in entries(spec, "tolerations", at):
        yield from _toleration(toleration, field)
    for field, constraint in entries(spec, "topologySpreadConstraints", at):
        yield from _spread(constraint, field)
    if spec.get("affinity"):
        yield from _affinity(spec["affinity"], f"{at}.affinity")


def _toleration(toleration: Object, at: str) -> Errors:
    key, operator, effect = toleration.get("key"), toleration.get("operator") or "Equal", toleration.get("effect")
    if key:
        yield from follows(names.qualified_name, f"{at}.key", key)
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{at}.operator", operator, detail)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield invalid(f"{at}.effect", effect or "", "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator == "Exists" and toleration.get("value"):
        yield invalid(f"{at}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
    yield from one_of(toleration, "operator", at, _OPERATORS, need=False)
    yield from one_of(toleration, "effect", at, _EFFECTS, need=False)


def _spread(constraint: Object, at: str) -> Errors:
    skew = constraint.get("maxSkew") or 0
    if skew <= 0:
        yield invalid(f"{at}.maxSkew", skew, "must be greater than zero")
    if not constraint.get("topologyKey"):
        yield required(f"{at}.topologyKey", "can not be empty")
    yield from one_of(constraint, "whenUnsatisfiable", at, _UNSATISFIABLE)
    yield from label_selector(constraint.get("labelSelector"), f"{at}.labelSelector")


def _affinity(affinity: Object, at: str) -> Errors:
    node = affinity.get("nodeAffinity") or {}
    if node.get(_REQUIRED) is not None:
        yield from node_selector(node[_REQUIRED], f"{at}.nodeAffinity.{_REQUIRED}")
    for field, preferred in entries(node, _PREFERRED, f"{at}.nodeAffinity"):
        yield from _weight(preferred, field)
        yield from _node_term(preferred.get("preference") or {}, f"{field}.preference")
    for name in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(name) or {}
        for field, term in entries(terms, _REQUIRED, f"{at}.{name}"):
            yield from _pod_term(term, field)
        for field, preferred in entries(terms, _PREFERRED, f"{at}.{name}"):
            yield from _weight(preferred, field)
            yield from _pod_term(preferred.get("podAffinityTerm") or {}, f"{field}.podAffinityTerm")


def node_selector(selector: Object, at: str) -> Errors:
    """A NodeSelector."""
    if not selector.get("nodeSelectorTerms"):
        yield required(f"{at}.nodeSelectorTerms", "must have at least one node selector term")
    for field, term in entries(selector, "nodeSelectorTerms", at):
        yield from _node_term(term, field)


def _weight(preferred: Object, at: str) -> Errors:
    weight = preferred.get("weight") or 0
    if not 1 <= weight <= 100:
        yield invalid(f"{at}.weight", weight, "must be in the range 1-100")


def _node_term(term: Object, at: str) -> Errors:
    for field, requirement in entries(term, "matchExpressions", at):
        operator, values = requirement.get("operator"), requirement.get("values") or []
        if operator not in _NODE_OPERATORS:
            yield invalid(f"{field}.operator", operator or "", "not a valid selector operator")
        elif operator in ("In", "NotIn") and not values:
            yield required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Gt", "Lt") and len(values) != 1:
            yield required(f"{field}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        yield from follows(names.qualified_name, f"{field}.key", requirement.get("key") or "")


def _pod_term(term: Object, at: str) -> Errors:
    yield from label_selector(term.get("labelSelector"), f"{at}.labelSelector")
    if not term.get("topologyKey"):
        yield required(f"{at}.topologyKey", "can not be empty")
    else:
        yield from follows(names.qualified_name, f"{at}.topologyKey", term["topologyKey"])
    match, mismatch = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    for name, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and term.get("labelSelector") is None:
            yield forbidden(f"{at}.{name}", "must not be specified when labelSelector is not set")
        for i, key in enumerate(keys):
            yield from follows(names.qualified_name, f"{at}.{name}[{i}]", key)
    for i, key in enumerate(match):
        if key in mismatch:
            yield invalid(f"{at}.matchLabelKeys[{i}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")
