"""``/api``, ``/apis``, ``/apis/apps``, ``/apis/apps/v1``: the discovery every client knows."""

from __future__ import annotations

from lateen.cluster.api.aggregation.table import Remotes
from lateen.cluster.api.discovery.groups import Group, Version, groups, names, response_kind, subresources
from lateen.cluster.api.registry import Registry, Served
from lateen.kube.meta import Object


def document(registry: Registry, remotes: Remotes, path: str) -> Object | None:
    """The document at ``path``, None if there is none."""
    parts = [p for p in path.split("/") if p]
    if parts == ["api"]:
        address = [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": address}
    found = groups(registry, remotes)
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in found if g.name]}
    name = "" if parts[0] == "api" else parts[1]
    version = parts[-1] if len(parts) == (2 if parts[0] == "api" else 3) else ""
    group = next((g for g in found if g.name == name), None)
    if group is None:
        return None
    if parts[0] == "apis" and len(parts) == 2:
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
    wanted = next((v for v in group.versions if v.name == version), None)
    return _resources(group, wanted) if wanted is not None else None


def _group_version(group: str, version: str) -> dict[str, str]:
    return {"groupVersion": f"{group}/{version}" if group else version, "version": version}


def _group(group: Group) -> Object:
    versions = [_group_version(group.name, v.name) for v in group.versions]
    return {"name": group.name, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: Group, version: Version) -> Object:
    found = [entry for served in version.resources for entry in _entries(served)]
    name = _group_version(group.name, version.name)["groupVersion"]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": found}


def _entries(served: Served) -> list[Object]:
    r = served.resource
    whole = {
        "name": r.plural,
        "singularName": r.singular or r.kind.lower(),
        "namespaced": r.namespaced,
        "kind": r.kind,
        "verbs": list(r.verbs),
    }
    entries: list[Object] = [whole | names(served)]
    for name, sub in subresources(served):
        group, version, kind = response_kind(served, sub)
        entry: Object = {
            "name": f"{r.plural}/{name}",
            "singularName": "",
            "namespaced": r.namespaced,
            "kind": kind,
            "verbs": sub.verbs,
        }
        if sub.answers is not None:
            entry |= {"group": group, "version": version}
        entries.append(entry)
    return entries
