"""Namespaces on their way out: everything in them is deleted, then the namespace's finalizer goes."""

from __future__ import annotations

from lateen.aio.tasks import gather
from lateen.cluster.controllers.kit import Kit
from lateen.errors import MethodNotAllowedError, NotFoundError
from lateen.kube.meta import Key, Object, meta, set_condition
from lateen.kube.resources import NAMESPACES, Resource
from lateen.reconcile import DONE, Controller, Result, Source

_AGAIN = 0.1
_ORDER = ("deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "replicasets", "replicationcontrollers")


def controller(kit: Kit) -> Controller:
    """The controller, fed by Namespaces."""
    namespaces = kit.informer(NAMESPACES)
    terminating = Source(informer=namespaces, predicate=lambda _, new: bool(new is not None and meta(new).get("deletionTimestamp")))
    return Controller(name="namespace", reconciler=NamespaceReconciler(kit), sources=[terminating], clock=kit.clock)


class NamespaceReconciler:
    """Empties a terminating namespace."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._namespaces = kit.informer(NAMESPACES)

    async def reconcile(self, key: Key) -> Result:
        namespace = self._namespaces.get(key)
        if namespace is None or not meta(namespace).get("deletionTimestamp"):
            return DONE
        self._kit.discovery.forget()
        found = await self._kit.discovery.preferred()
        resources = [r for r in found if r.namespaced and {"list", "delete"} <= set(r.verbs) and r.plural != "events"]
        # Owners first: what they own is then not made anew while it is deleted.
        resources.sort(key=lambda r: _ORDER.index(r.plural) if r.plural in _ORDER else len(_ORDER))
        left = {r.group_resource: n for r in resources if (n := await self._empty(r, key.name))}
        if left:
            await self._tell(namespace, left)
            return Result(_AGAIN)
        finalizers = [f for f in (namespace.get("spec") or {}).get("finalizers") or () if f != "kubernetes"]
        if finalizers != ((namespace.get("spec") or {}).get("finalizers") or []):
            body = {**namespace, "spec": {"finalizers": finalizers}}
            await self._kit.client.update(NAMESPACES, body, subresource="finalize")
        return DONE

    async def _empty(self, resource: Resource, namespace: str) -> int:
        """Delete what is there; how many objects are still left."""
        try:
            found = (await self._kit.client.list(resource, namespace)).items
        except (NotFoundError, MethodNotAllowedError):
            return 0
        await gather([self._delete(resource, namespace, o) for o in found if not meta(o).get("deletionTimestamp")])
        return len(found)

    async def _delete(self, resource: Resource, namespace: str, obj: Object) -> None:
        try:
            await self._kit.client.delete(resource, meta(obj)["name"], namespace, propagation="Background")
        except NotFoundError:
            return

    async def _tell(self, namespace: Object, left: dict[str, int]) -> None:
        listed = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(left.items()))
        new = {
            "type": "NamespaceContentRemaining",
            "status": "True",
            "reason": "SomeResourcesRemain",
            "message": f"Some resources are remaining: {listed}",
        }
        status = namespace.get("status") or {}
        conditions = set_condition(status.get("conditions"), new, self._kit.clock.now())
        if conditions != status.get("conditions"):
            await self._kit.client.update_status(NAMESPACES, {**namespace, "status": {**status, "conditions": conditions}})
