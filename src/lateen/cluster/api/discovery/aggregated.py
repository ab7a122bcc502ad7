"""Aggregated discovery (apidiscovery.k8s.io/v2): everything below ``/api`` or ``/apis`` in one document."""

from __future__ import annotations

from lateen.cluster.api.aggregation.table import Remotes
from lateen.cluster.api.discovery.groups import Group, Version, groups, names, response_kind, subresources
from lateen.cluster.api.registry import Registry, Served
from lateen.kube.meta import Object

CONTENT_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def document(registry: Registry, remotes: Remotes, *, core: bool) -> Object:
    """The list for ``/api`` (``core``) or ``/apis``."""
    items = [_group(g) for g in groups(registry, remotes) if (g.name == "") is core]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _group(group: Group) -> Object:
    meta = {"name": group.name, "creationTimestamp": None} if group.name else {"creationTimestamp": None}
    return {"metadata": meta, "versions": [_version(v) for v in group.versions]}


def _version(version: Version) -> Object:
    if version.remote is not None:
        found = _foreign(version) if version.described is not None else []
        return {"version": version.name, "resources": found, "freshness": "Current" if version.remote.available else "Stale"}
    return {"version": version.name, "resources": [_resource(s) for s in version.resources], "freshness": "Current"}


def _resource(served: Served) -> Object:
    r = served.resource
    found: Object = {
        "resource": r.plural,
        "responseKind": {"group": r.group, "version": r.version, "kind": r.kind},
        "scope": "Namespaced" if r.namespaced else "Cluster",
        "singularResource": r.singular or r.kind.lower(),
        "verbs": list(r.verbs),
        **names(served),
    }
    subs = []
    for name, sub in subresources(served):
        group, version, kind = response_kind(served, sub)
        subs.append({"subresource": name, "responseKind": {"group": group, "version": version, "kind": kind}, "verbs": sub.verbs})
    return found | ({"subresources": subs} if subs else {})


def _foreign(version: Version) -> list[Object]:
    """The resources of an extension API server, from its legacy discovery: subresources go below their resource."""
    assert version.remote is not None and version.described is not None
    group = version.remote.group
    found: dict[str, Object] = {}
    for entry in version.described.resources.get("resources") or ():
        name, _, sub = entry["name"].partition("/")
        kind = {"group": entry.get("group") or group, "version": entry.get("version") or version.name, "kind": entry["kind"]}
        whole = found.setdefault(name, {"resource": name, "scope": "Namespaced" if entry.get("namespaced") else "Cluster"})
        if sub:
            below = {"subresource": sub, "responseKind": kind, "verbs": list(entry.get("verbs") or ())}
            whole.setdefault("subresources", []).append(below)
        else:
            whole |= {"responseKind": kind, "singularResource": entry.get("singularName") or "", "verbs": list(entry["verbs"])}
            whole |= {k: entry[k] for k in ("shortNames", "categories") if entry.get(k)}
    return list(found.values())
