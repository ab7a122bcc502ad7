"""Verbs on objects over a Transport. Everything outside the API server reaches a cluster through this class.

Objects are plain dictionaries. What comes back is shared with caches: read it, never change it (``kube.meta.edit`` copies).
Every method raises the ApiError subclass that fits the server's Status, or TransportError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lateen.client.seam import Request, Response, Transport, WatchEvent
from lateen.errors import ApiError, TransportError, api_error
from lateen.kube.meta import Object
from lateen.kube.resources import Resource

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectList:
    """A (page of a) collection at one resource version."""

    items: list[Object]
    resource_version: str
    continue_token: str = ""


OnWrite = Callable[[Resource, Object], None]


class Client:
    """Speaks for one user to one API server. ``field_manager`` names this client in managedFields.

    ``on_write`` is told every object that a write of this client left behind (``InformerSet.wrote`` shows it to readers at once).
    """

    def __init__(self, transport: Transport, *, field_manager: str = "lateen", on_write: OnWrite | None = None) -> None:
        self.transport, self.field_manager, self._on_write = transport, field_manager, on_write

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self._object("GET", resource.path(namespace, name, subresource))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> ObjectList:
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(limit or ""),
            **{"continue": continue_token},
            resourceVersion=resource_version,
        )
        answer = await self._object("GET", resource.path(namespace), query=query)
        m = answer.get("metadata") or {}
        return ObjectList(
            items=[_typed(o, resource) for o in answer.get("items") or ()],
            resource_version=m.get("resourceVersion", ""),
            continue_token=m.get("continue", ""),
        )

    async def create(
        self, resource: Resource, obj: Object, *, namespace: str = "", subresource: str = "", dry_run: bool = False
    ) -> Object:
        """Create ``obj`` in its own namespace (or ``namespace``). With ``subresource``, POST to it (eviction, binding, token)."""
        m = obj.get("metadata") or {}
        path = resource.path(namespace or m.get("namespace", ""), m.get("name", "") if subresource else "", subresource)
        made = await self._object("POST", path, body=obj, query=self._write(dry_run=dry_run))
        return made if dry_run else self._written(resource, made)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        """Replace; a resourceVersion in ``obj`` makes it conditional (ConflictError)."""
        m = obj["metadata"]
        path = resource.path(m.get("namespace", ""), m["name"], subresource)
        made = await self._object("PUT", path, body=obj, query=self._write(dry_run=dry_run))
        return made if dry_run else self._written(resource, made)

    async def update_status(self, resource: Resource, obj: Object) -> Object:
        return await self.update(resource, obj, subresource="status")

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        *,
        namespace: str = "",
        kind: str = "merge",
        subresource: str = "",
        force: bool = False,
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        """``kind`` is json, merge, strategic or apply (server-side apply; ``force`` takes conflicting fields)."""
        query = self._write(dry_run=dry_run, field_manager=field_manager)
        if kind == "apply" and force:
            query["force"] = "true"
        path = resource.path(namespace, name, subresource)
        made = await self._object("PATCH", path, body=patch, query=query, content_type=PATCH_TYPES[kind])
        return made if dry_run else self._written(resource, made)

    async def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        force: bool = False,
        field_manager: str = "",
        dry_run: bool = False,
        subresource: str = "",
    ) -> Object:
        """Server-side apply of ``obj``."""
        m = obj["metadata"]
        return await self.patch(
            resource,
            m["name"],
            obj,
            namespace=m.get("namespace", ""),
            kind="apply",
            force=force,
            field_manager=field_manager,
            dry_run=dry_run,
            subresource=subresource,
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "",
        grace_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
    ) -> Object:
        """Delete; ``propagation`` is Background (the server's default), Foreground or Orphan. Answers the object or a Status."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if preconditions := _query(uid=uid, resourceVersion=resource_version):
            options["preconditions"] = preconditions
        return self._written(resource, await self._object("DELETE", resource.path(namespace, name), body=options))

    async def delete_collection(self, resource: Resource, namespace: str = "", *, label_selector: str = "") -> Object:
        return await self._object("DELETE", resource.path(namespace), query=_query(labelSelector=label_selector))

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
    ) -> AsyncIterator[WatchEvent]:
        """Events after ``resource_version``. Ends when the server ends it; ExpiredError means list again."""
        query = _query(
            watch="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            allowWatchBookmarks="true" if bookmarks else "",
        )
        response = await self.raw("GET", resource.path(namespace), query=query)
        if response.events is None:
            raise TransportError(f"watch of {resource.plural}: the server did not answer with a stream")
        events = response.events
        try:
            async for event in events:
                if event.type == "ERROR":
                    raise api_error(event.object)
                yield event
        finally:
            if (aclose := getattr(events, "aclose", None)) is not None:
                await aclose()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str | tuple[str, ...]] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Response:
        """Any request. An error status is raised; the answer may hold an object, bytes, events or a stream."""
        response = await self.transport.send(
            Request(method=method, path=path, query=query or {}, body=body, content_type=content_type, accept=accept)
        )
        if response.status >= 400:
            raise _error(response)
        return response

    async def close(self) -> None:
        await self.transport.close()

    async def _object(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer: Object = (await self.raw(method, path, body=body, query=query, content_type=content_type)).object
        return answer

    def _written(self, resource: Resource, obj: Object) -> Object:
        # A subresource (binding, eviction, scale) answers another kind; a finished delete answers a Status.
        if self._on_write is not None and obj.get("kind") == resource.kind:
            self._on_write(resource, obj)
        return obj

    def _write(self, *, dry_run: bool = False, field_manager: str = "") -> dict[str, str]:
        return _query(fieldManager=field_manager or self.field_manager, dryRun="All" if dry_run else "")


def _typed(obj: Object, resource: Resource) -> Object:
    """The object with its kind, which Kubernetes leaves out of the items of a list."""
    return obj if "kind" in obj else {"apiVersion": resource.api_version, "kind": resource.kind, **obj}


def _query(**values: str) -> dict[str, str]:
    return {k: v for k, v in values.items() if v}


def _error(response: Response) -> ApiError:
    if isinstance(response.object, dict) and response.object.get("kind") == "Status":
        return api_error(response.object)
    text = (response.raw or b"").decode(errors="replace")[:500]
    return api_error({"code": response.status, "message": text or f"HTTP {response.status}"})
