"""Which resources a cluster serves, asked by need and remembered until ``forget``.

Used by apply (kind -> resource), the garbage collector and namespace deletion (every resource). One kind costs one request; all of
them two, by aggregated discovery (Kubernetes 1.27 on), or one per API group where a cluster does not speak that.
"""

from __future__ import annotations

from typing import Any

from lateen.aio.tasks import gather
from lateen.client.client import Client
from lateen.errors import NotFoundError
from lateen.kube.resources import Resource

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Discovery:
    """What the cluster behind ``client`` serves."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, Resource]] = {}
        self._preferred: list[Resource] = []
        self._stale: list[str] = []

    @property
    def stale(self) -> list[str]:
        """Group versions that nobody can say the resources of: their extension API server does not answer. Known after
        ``preferred``."""
        return list(self._stale)

    async def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind, None if the cluster has none."""
        return (await self._version(api_version)).get(kind)

    async def named(self, word: str) -> Resource | None:
        """The resource that a person means: plural, singular, short name or kind, also with its group (``deploy.apps``)."""
        name, _, group = word.lower().partition(".")
        found = [r for r in await self.preferred() if not group or group in (r.group, f"{r.version}.{r.group}".rstrip("."))]
        for names in (lambda r: (r.plural, r.singular, r.kind.lower()), lambda r: r.short_names):
            for resource in found:
                if name in names(resource):
                    return resource
        return None

    async def preferred(self) -> list[Resource]:
        """Every resource, in the preferred version of its group; the core group first."""
        if not self._preferred:
            self._preferred = await self._aggregated() or await self._by_group()
        return list(self._preferred)

    def forget(self) -> None:
        """Ask the cluster again from now on."""
        self._known.clear()
        self._preferred = []

    async def _aggregated(self) -> list[Resource]:
        accept = f"{_AGGREGATED},application/json"
        answers = [(await self._client.raw("GET", path, accept=accept)).object or {} for path in ("/api", "/apis")]
        if any(answer.get("kind") != "APIGroupDiscoveryList" for answer in answers):
            return []
        groups = [g for answer in answers for g in answer.get("items") or ()]
        self._stale = [
            f"{g['metadata']['name']}/{v['version']}"
            for g in groups
            for v in g.get("versions") or ()
            if v.get("freshness") == "Stale"
        ]
        return [r for g in groups for r in _of_group(g)]

    async def _by_group(self) -> list[Resource]:
        groups = (await self._client.raw("GET", "/apis")).object.get("groups") or []
        versions = ["v1", *(g["preferredVersion"]["groupVersion"] for g in groups)]
        return [r for found in await gather([self._version(v) for v in versions]) for r in found.values()]

    async def _version(self, api_version: str) -> dict[str, Resource]:
        known = self._known.get(api_version)
        if known is None:
            path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            try:
                listed = (await self._client.raw("GET", path)).object.get("resources") or []
            except NotFoundError:
                return {}  # not remembered: a CustomResourceDefinition may bring it in a moment
            known = self._known[api_version] = {r.kind: r for r in _resources(api_version, listed)}
        return known


def _of_group(group: dict[str, Any]) -> list[Resource]:
    """The resources of an APIGroupDiscovery; each in the first version that has it, which is the preferred one."""
    found: dict[str, Resource] = {}
    for version in group.get("versions") or ():
        for r in version.get("resources") or ():
            if r.get("responseKind"):  # some have only subresources
                found.setdefault(r["resource"], _aggregated_resource(group["metadata"].get("name", ""), version["version"], r))
    return list(found.values())


def _aggregated_resource(group: str, version: str, found: dict[str, Any]) -> Resource:
    return Resource(
        group=group,
        version=version,
        kind=found["responseKind"]["kind"],
        plural=found["resource"],
        namespaced=found["scope"] == "Namespaced",
        singular=found.get("singularResource") or "",
        short_names=tuple(found.get("shortNames") or ()),
        categories=tuple(found.get("categories") or ()),
        verbs=tuple(found["verbs"]),
        subresources=tuple(s["subresource"] for s in found.get("subresources") or ()),
    )


def _resources(api_version: str, listed: list[dict[str, Any]]) -> list[Resource]:
    group, _, version = api_version.rpartition("/")
    return [
        Resource(
            group=group,
            version=version,
            kind=r["kind"],
            plural=r["name"],
            namespaced=r["namespaced"],
            singular=r.get("singularName") or "",
            short_names=tuple(r.get("shortNames") or ()),
            categories=tuple(r.get("categories") or ()),
            verbs=tuple(r["verbs"]),
            subresources=tuple(s["name"].partition("/")[2] for s in listed if s["name"].startswith(r["name"] + "/")),
        )
        for r in listed
        if "/" not in r["name"]
    ]
