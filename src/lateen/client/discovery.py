"""Which resources a cluster serves, asked by need: one request per API version, remembered until ``forget``.

Used by apply (kind -> resource), the garbage collector and namespace deletion (every resource). Works on any cluster: it reads the
resource lists that every Kubernetes has served since the beginning.
"""

from __future__ import annotations

from typing import Any

from lateen.aio.tasks import gather
from lateen.client.client import Client
from lateen.errors import NotFoundError
from lateen.kube.resources import Resource


class Discovery:
    """What the cluster behind ``client`` serves."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, Resource]] = {}

    async def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind, None if the cluster has none."""
        return (await self._version(api_version)).get(kind)

    async def preferred(self) -> list[Resource]:
        """Every resource, in the preferred version of its group."""
        groups = (await self._client.raw("GET", "/apis")).object.get("groups") or []
        versions = ["v1", *(g["preferredVersion"]["groupVersion"] for g in groups)]
        return [r for found in await gather([self._version(v) for v in versions]) for r in found.values()]

    def forget(self) -> None:
        """Ask the cluster again from now on."""
        self._known.clear()

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
