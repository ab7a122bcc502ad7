"""Finalizers: a controller's hold on an object until it has cleaned up what the object stands for.

In a reconciler: ``ensure`` before anything is made outside; once ``deleting`` and cleaned up, ``release``.
"""

from __future__ import annotations

from lateen.client.client import Client
from lateen.errors import NotFoundError
from lateen.kube.meta import Object, key_of, meta
from lateen.kube.resources import Resource


def deleting(obj: Object) -> bool:
    """Whether the object is on its way out."""
    return bool(meta(obj).get("deletionTimestamp"))


def holds(obj: Object, finalizer: str) -> bool:
    """Whether ``finalizer`` is on the object."""
    return finalizer in (meta(obj).get("finalizers") or ())


async def ensure(client: Client, resource: Resource, obj: Object, finalizer: str) -> Object:
    """The object with ``finalizer``. ConflictError when somebody wrote first; nothing happens to an object on its way out."""
    if deleting(obj) or holds(obj, finalizer):
        return obj
    return await _write(client, resource, obj, [*(meta(obj).get("finalizers") or ()), finalizer])


async def release(client: Client, resource: Resource, obj: Object, finalizer: str) -> None:
    """Take ``finalizer`` off; an object that is gone already is fine. ConflictError when somebody wrote first."""
    if holds(obj, finalizer):
        try:
            await _write(client, resource, obj, [f for f in meta(obj)["finalizers"] if f != finalizer])
        except NotFoundError:
            return


async def _write(client: Client, resource: Resource, obj: Object, finalizers: list[str]) -> Object:
    key = key_of(obj)
    metadata = {"uid": meta(obj).get("uid"), "resourceVersion": meta(obj)["resourceVersion"], "finalizers": finalizers or None}
    return await client.patch(resource, key.name, {"metadata": metadata}, namespace=key.namespace)
