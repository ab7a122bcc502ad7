"""The registry in the order that clients prefer. Pure; both discovery formats are made of this."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lateen.cluster.api.aggregation.services import Remote
from lateen.cluster.api.aggregation.table import Described, Remotes
from lateen.cluster.api.registry import Registry, Served
from lateen.cluster.api.subresources.table import SUBRESOURCES, Subresource

# The real server's order of groups: a short name or kind in two groups means the first.
_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)
_VERSION = re.compile(r"^v(\d+)(?:(alpha|beta)(\d+))?$")


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: stable before beta before alpha, newer first, others last by name."""
    found = _VERSION.match(version)
    if found is None:
        return (3, 0, 0, version)
    major, stage, minor = found.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), "")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one group, with its resources by name; those of an extension API server are only ``described``."""

    name: str
    resources: tuple[Served, ...]
    remote: Remote | None = None
    described: Described | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """One group; the first version is the preferred one."""

    name: str
    versions: tuple[Version, ...]


def groups(registry: Registry, remotes: Remotes) -> list[Group]:
    """Every group, core first; extension API servers' group versions take the place of our own."""
    found: dict[str, dict[str, list[Served]]] = {}
    for served in registry:
        found.setdefault(served.resource.group, {}).setdefault(served.resource.version, []).append(served)
    for group, version in remotes.by_key:
        found.setdefault(group, {})[version] = []
    rank: Mapping[str, int] = {name: i for i, name in enumerate(_ORDER)}
    names = sorted(found, key=lambda n: (rank.get(n, len(rank)), n))
    return [Group(name, _versions(name, found[name], remotes)) for name in names]


def _versions(group: str, found: Mapping[str, list[Served]], remotes: Remotes) -> tuple[Version, ...]:
    ordered = sorted(found, key=version_rank)
    return tuple(
        Version(
            v,
            tuple(sorted(found[v], key=lambda s: s.resource.plural)),
            remotes.by_key.get((group, v)),
            remotes.described.get((group, v)),
        )
        for v in ordered
    )


def subresources(served: Served) -> list[tuple[str, Subresource]]:
    """The subresources that the server really answers, by name."""
    return [(name, sub) for name in sorted(served.resource.subresources) if (sub := SUBRESOURCES.find(served, name)) is not None]


def response_kind(served: Served, sub: Subresource) -> tuple[str, str, str]:
    """(group, version, kind) of what a subresource answers."""
    r = served.resource
    return sub.answers or (r.group, r.version, r.kind)


def names(served: Served) -> dict[str, Any]:
    """Short names and categories, where there are any."""
    r = served.resource
    return {k: list(v) for k, v in (("shortNames", r.short_names), ("categories", r.categories)) if v}
