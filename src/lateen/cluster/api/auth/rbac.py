"""Role-based access control, as Kubernetes decides it (plugin/pkg/auth/authorizer/rbac).

Rules of a user are gathered once and kept until a role or binding changes; a decision then costs a few comparisons.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lateen.cluster.api.user import UserInfo
from lateen.kube.meta import Object, labels_of, meta
from lateen.kube.selectors import from_selector

MASTERS = "system:masters"
Objects = Callable[[str, str], Iterable[Object]]  # (plural, namespace) -> stored RBAC objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a request wants to do. ``path`` for a non-resource request."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Rbac:
    """Decides. ``version`` tells whether roles or bindings changed since (any comparable value)."""

    def __init__(self, objects: Objects, version: Callable[[], Any]) -> None:
        self._objects, self._version = objects, version
        self._known: Any = None
        self._rules: dict[tuple[str, tuple[str, ...], str], Sequence[Mapping[str, Any]]] = {}
        self._decisions: dict[tuple[UserInfo, Attributes], bool] = {}

    def allowed(self, user: UserInfo, wanted: Attributes) -> bool:
        """Whether a rule of the user's roles covers the request."""
        if MASTERS in user.groups:
            return True
        self._refresh()
        key = (user, wanted)
        found = self._decisions.get(key)
        if found is None:
            scopes = {"", wanted.namespace}
            found = self._decisions[key] = any(covers(r, wanted) for s in scopes for r in self.rules(user, s))
        return found

    def _refresh(self) -> None:
        """Forget what was known once a role or binding has changed."""
        version = self._version()
        if version != self._known or len(self._decisions) > 10000:
            self._known = version
            self._rules.clear()
            self._decisions.clear()

    def rules(self, user: UserInfo, namespace: str) -> Sequence[Mapping[str, Any]]:
        """The rules bound to the user in ``namespace`` ('' for those of ClusterRoleBindings)."""
        self._refresh()
        key = (user.name, user.groups, namespace)
        found = self._rules.get(key)
        if found is None:
            found = self._rules[key] = list(self._gather(user, namespace))
        return found

    def _gather(self, user: UserInfo, namespace: str) -> Iterable[Mapping[str, Any]]:
        bindings = self._objects("rolebindings", namespace) if namespace else self._objects("clusterrolebindings", "")
        for binding in bindings:
            if any(_is_subject(s, user, namespace) for s in binding.get("subjects") or ()):
                role = self.role(binding["roleRef"], namespace)
                yield from (role or {}).get("rules") or ()

    def role(self, ref: Mapping[str, str], namespace: str) -> Object | None:
        """The role that a binding refers to, with the rules that it aggregates."""
        plural, where = ("roles", namespace) if ref["kind"] == "Role" else ("clusterroles", "")
        found = next((r for r in self._objects(plural, where) if meta(r)["name"] == ref["name"]), None)
        return self._aggregated(found, frozenset()) if found is not None and found.get("aggregationRule") else found

    def _aggregated(self, role: Object, inside: frozenset[str]) -> Object:
        """``role`` with the rules of the ClusterRoles it selects, which may aggregate too; ``inside`` are the ones on the way.
        The rules it stores were written by a controller from the same selection, a moment ago: they do not count."""
        name = meta(role)["name"]
        selectors = [from_selector(s) for s in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()]
        rules = [] if selectors else list(role.get("rules") or ())
        for other in self._objects("clusterroles", "") if selectors and name not in inside else ():
            if meta(other)["name"] != name and any(matches(labels_of(other)) for matches in selectors):
                rules += self._aggregated(other, inside | {name}).get("rules") or ()
        return {**role, "rules": rules}

    def missing(self, user: UserInfo, rules: Iterable[Mapping[str, Any]], namespace: str) -> Sequence[Attributes]:
        """The permissions in ``rules`` that the user does not have: nobody may grant more than they have."""
        if MASTERS in user.groups:
            return ()
        owned = [r for s in {"", namespace} for r in self.rules(user, s)]
        return [a for rule in rules for a in _atoms(rule, namespace) if not any(covers(o, a) for o in owned)]


def _is_subject(subject: Mapping[str, Any], user: UserInfo, namespace: str) -> bool:
    kind, name = subject["kind"], subject["name"]
    if kind == "User":
        return bool(name == user.name)
    if kind == "Group":
        return name in user.groups
    return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"


def covers(rule: Mapping[str, Any], wanted: Attributes) -> bool:
    """Whether one rule allows the request."""
    verbs = rule.get("verbs") or ()
    if wanted.verb not in verbs and "*" not in verbs:
        return False
    if wanted.path:
        return any(_path_matches(p, wanted.path) for p in rule.get("nonResourceURLs") or ())
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    if wanted.group not in groups and "*" not in groups:
        return False
    if not ("*" in resources or wanted.full_resource in resources or _any_subresource(resources, wanted)):
        return False
    names = rule.get("resourceNames") or ()
    return not names or wanted.name in names


def _any_subresource(resources: Sequence[str], wanted: Attributes) -> bool:
    return bool(wanted.subresource) and f"*/{wanted.subresource}" in resources


def _path_matches(pattern: str, path: str) -> bool:
    return pattern == "*" or pattern == path or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def _atoms(rule: Mapping[str, Any], namespace: str) -> Iterable[Attributes]:
    """A rule as single permissions."""
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            yield Attributes(verb=verb, path=path)
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                plural, _, sub = resource.partition("/")
                for name in rule.get("resourceNames") or ("",):
                    yield Attributes(verb=verb, group=group, resource=plural, subresource=sub, namespace=namespace, name=name)


def refusal(user: UserInfo, wanted: Attributes) -> str:
    """Why not, in Kubernetes' words (without the object's own part)."""
    if wanted.path:
        return f'User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    return f'User "{user.name}" cannot {wanted.verb} resource "{wanted.full_resource}" in API group "{wanted.group}" {where}'


def described(missing: Iterable[Attributes]) -> list[str]:
    """Permissions as Kubernetes lists them: ``{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}``."""
    verbs: dict[tuple[str, str, str, str], list[str]] = {}
    for a in missing:
        verbs.setdefault((a.group, a.full_resource, a.path, a.name), []).append(a.verb)
    lines = []
    for (group, resource, path, name), found in verbs.items():
        parts = [("NonResourceURLs", [path])] if path else [("APIGroups", [group]), ("Resources", [resource])]
        parts += [("ResourceNames", [name])] if name else []
        listed = [f"{title}:[{' '.join(json.dumps(v) for v in values)}]" for title, values in (*parts, ("Verbs", found))]
        lines.append("{" + ", ".join(listed) + "}")
    return sorted(lines)
