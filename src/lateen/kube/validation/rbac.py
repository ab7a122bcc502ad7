"""Roles and bindings (pkg/apis/rbac/validation)."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, label_selector, metadata, unchanged
from lateen.kube.validation.errors import invalid, required, unsupported

GROUP = "rbac.authorization.k8s.io"


def role(obj: Object, old: Object | None) -> Errors:
    """Role."""
    yield from metadata(obj, names.path_segment)
    for field, rule in entries(obj, "rules", ""):
        yield from _rule(rule, field, namespaced=True)


def cluster_role(obj: Object, old: Object | None) -> Errors:
    """ClusterRole."""
    yield from metadata(obj, names.path_segment)
    for field, rule in entries(obj, "rules", ""):
        yield from _rule(rule, field, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        if not aggregation.get("clusterRoleSelectors"):
            yield required(
                "aggregationRule.clusterRoleSelectors", "at least one clusterRoleSelector required if aggregationRule is non-nil"
            )
        for field, selector in entries(aggregation, "clusterRoleSelectors", "aggregationRule"):
            yield from label_selector(selector, field)


def _rule(rule: Object, at: str, *, namespaced: bool) -> Errors:
    if not rule.get("verbs"):
        yield required(f"{at}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            yield invalid(f"{at}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
        if any(rule.get(n) for n in ("apiGroups", "resources", "resourceNames")):
            yield invalid(f"{at}.nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs")
        return
    if not rule.get("apiGroups"):
        yield required(f"{at}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{at}.resources", "resource rules must supply at least one resource")


def role_binding(obj: Object, old: Object | None) -> Errors:
    """RoleBinding."""
    yield from _binding(obj, old, ("ClusterRole", "Role"), namespaced=True)


def cluster_role_binding(obj: Object, old: Object | None) -> Errors:
    """ClusterRoleBinding."""
    yield from _binding(obj, old, ("ClusterRole",), namespaced=False)


def _binding(obj: Object, old: Object | None, kinds: tuple[str, ...], *, namespaced: bool) -> Errors:
    yield from metadata(obj, names.path_segment)
    ref = obj.get("roleRef") or {}
    if ref.get("apiGroup") != GROUP:
        yield unsupported("roleRef.apiGroup", ref.get("apiGroup") or "", (GROUP,))
    if ref.get("kind") not in kinds:
        yield unsupported("roleRef.kind", ref.get("kind") or "", kinds)
    if not ref.get("name"):
        yield required("roleRef.name")
    for text in names.path_segment(ref.get("name") or ""):
        yield invalid("roleRef.name", ref["name"], text)
    for field, subject in entries(obj, "subjects", ""):
        yield from _subject(subject, field, namespaced=namespaced)
    if old is not None:
        yield from unchanged(ref, old.get("roleRef"), "roleRef", "cannot change roleRef")


def _subject(subject: Object, at: str, *, namespaced: bool) -> Errors:
    kind, group, name = subject.get("kind") or "", subject.get("apiGroup") or "", subject.get("name") or ""
    if not name:
        yield required(f"{at}.name")
    if kind == "ServiceAccount":
        for text in names.dns_subdomain(name) if name else ():
            yield invalid(f"{at}.name", name, text)
        if group:
            yield unsupported(f"{at}.apiGroup", group, ("",))
        if not subject.get("namespace") and not namespaced:
            yield required(f"{at}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            yield unsupported(f"{at}.apiGroup", group, (GROUP,))
    else:
        yield unsupported(f"{at}.kind", kind, ("ServiceAccount", "User", "Group"))
