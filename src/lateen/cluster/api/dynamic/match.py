"""Which writes a webhook or a policy is about: rules, selectors, equivalent versions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.cluster.api.dynamic.attributes import CREATE, Attributes
from lateen.cluster.api.registry import Served
from lateen.kube.meta import Object
from lateen.kube.selectors import Predicate, from_selector

# What configures admission is never asked about: nobody could repair it. Reviews are questions, not objects.
EXEMPT = frozenset(
    f"admissionregistration.k8s.io/{plural}"
    for plural in (
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)
NamespaceOf = Callable[[str], Object | None]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a configuration says it is about."""

    rules: Sequence[Mapping[str, Any]]
    excluded: Sequence[Mapping[str, Any]] = ()
    equivalent: bool = True
    in_namespaces: Predicate | None = None
    of_objects: Predicate | None = None

    def version_for(self, served: Served, others: Iterable[Served], *, subresource: str, operation: str) -> Served | None:
        """The version of the resource that the rules name, for some name; None when they name none of them."""
        for candidate in (served, *others) if self.equivalent else (served,):
            whole = [r for r in self.excluded if not r.get("resourceNames")]
            if _any(whole, candidate, subresource, operation, None):
                return None
            if _any(self.rules, candidate, subresource, operation, None):
                return candidate
        return None

    def takes(self, a: Attributes, namespace_of: NamespaceOf) -> bool:
        """Whether the rules, names included, and the selectors take the write."""
        named = (a.served, a.subresource, a.operation, a.name)
        return not _any(self.excluded, *named) and _any(self.rules, *named) and self.selects(a, namespace_of)

    def selects(self, attributes: Attributes, namespace_of: NamespaceOf) -> bool:
        """Whether the selectors take the write."""
        return self._namespace(attributes, namespace_of) and self._object(attributes)

    def _namespace(self, a: Attributes, namespace_of: NamespaceOf) -> bool:
        if self.in_namespaces is None:
            return True
        if a.served.collection == "core/namespaces" and not a.subresource:
            shown = a.obj if a.obj is not None and a.operation in (CREATE, "UPDATE") else a.old
            return shown is None or self.in_namespaces(_labels(shown))
        if not a.namespace:
            return True
        namespace = namespace_of(a.namespace)
        return namespace is not None and self.in_namespaces(_labels(namespace))

    def _object(self, a: Attributes) -> bool:
        if self.of_objects is None:
            return True
        return any(self.of_objects(_labels(o)) for o in (a.obj, a.old) if o is not None)


def _labels(obj: Object) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def rules_of(spec: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> Rules:
    """The rules of a webhook or of match resources."""
    return Rules(
        rules,
        spec.get("excludeResourceRules") or (),
        spec.get("matchPolicy") != "Exact",
        _selector(spec.get("namespaceSelector")),
        _selector(spec.get("objectSelector")),
    )


def _selector(selector: Mapping[str, Any] | None) -> Predicate | None:
    """None for one that takes everything."""
    return from_selector(selector) if selector else None


def _any(rules: Sequence[Mapping[str, Any]], served: Served, subresource: str, operation: str, name: str | None) -> bool:
    return any(_matches(rule, served, subresource, operation, name) for rule in rules)


def _matches(rule: Mapping[str, Any], served: Served, subresource: str, operation: str, name: str | None) -> bool:
    r = served.resource
    scope = rule.get("scope") or "*"
    return (
        _has(rule.get("operations"), operation)
        and _has(rule.get("apiGroups"), r.group)
        and _has(rule.get("apiVersions"), r.version)
        and (scope == "*" or (scope == "Namespaced") == r.namespaced)
        and any(_names(text, r.plural, subresource) for text in rule.get("resources") or ())
        and (name is None or not rule.get("resourceNames") or name in rule["resourceNames"])
    )


def _has(values: Sequence[str] | None, wanted: str) -> bool:
    return values is not None and ("*" in values or wanted in values)


def _names(text: str, plural: str, subresource: str) -> bool:
    """``pods``, ``pods/status``, ``pods/*``, ``*``, ``*/*``, ``*/scale``."""
    resource, _, sub = text.partition("/")
    return resource in ("*", plural) and (sub == "*" or sub == subresource)
