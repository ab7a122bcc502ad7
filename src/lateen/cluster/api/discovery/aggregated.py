"""Aggregated discovery (apidiscovery.k8s.io/v2): everything below ``/api`` or ``/apis`` in one document."""

from __future__ import annotations

from lateen.cluster.api.discovery.groups import Group, Version, groups, names, response_kind, subresources
from lateen.cluster.api.registry import Registry, Served
from lateen.kube.meta import Object

CONTENT_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def document(registry: Registry, *, core: bool) -> Object:
    """The list for ``/api`` (``core``) or ``/apis``."""
    items = [_group(g) for g in groups(registry) if (g.name == "") is core]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _group(group: Group) -> Object:
    meta = {"name": group.name, "creationTimestamp": None} if group.name else {"creationTimestamp": None}
    return {"metadata": meta, "versions": [_version(v) for v in group.versions]}


def _version(version: Version) -> Object:
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
