"""Namespaces on their way out: everything in them is deleted, then the namespace's finalizer goes."""

from __future__ import annotations

from dataclasses import dataclass, field

from lateen.aio.tasks import outcomes
from lateen.cluster.controllers.kit import Kit, spec_of, status_of
from lateen.errors import ApiError, MethodNotAllowedError, NotFoundError, TransportError
from lateen.kube.meta import Key, Object, key_of, meta, set_condition
from lateen.kube.resources import NAMESPACES, Resource
from lateen.reconcile import DONE, Controller, Result, Source

_AGAIN = 0.1
_UNDISCOVERED = 2.0
_ORDER = ("deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "replicasets", "replicationcontrollers")


def controller(kit: Kit) -> Controller:
    """The controller, fed by Namespaces."""
    namespaces = kit.informer(NAMESPACES)
    terminating = Source(informer=namespaces, predicate=lambda _, new: bool(new is not None and meta(new).get("deletionTimestamp")))
    return Controller(name="namespace", reconciler=NamespaceReconciler(kit), sources=[terminating], clock=kit.clock)


@dataclass(slots=True)
class Progress:
    """How far emptying came: objects left per resource, their finalizers, failures per resource."""

    left: dict[str, int] = field(default_factory=dict)
    finalizers: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    discovery: str = ""


class NamespaceReconciler:
    """Empties a terminating namespace."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._namespaces = kit.informer(NAMESPACES)

    async def reconcile(self, key: Key) -> Result:
        namespace = self._namespaces.get(key)
        if namespace is None or not meta(namespace).get("deletionTimestamp"):
            return DONE
        try:
            self._kit.discovery.forget()
            found = await self._kit.discovery.preferred()
        except (ApiError, TransportError) as error:
            await self._tell(namespace, Progress(discovery=f"1 failing: {error}"))
            raise
        progress = await self._empty_all([r for r in found if _deletable(r)], key.name)
        progress.discovery = undiscovered(self._kit.discovery.stale)
        if progress.left or progress.failures or progress.discovery:
            await self._tell(namespace, progress)
            return Result(_AGAIN if progress.left or progress.failures else _UNDISCOVERED)
        finalizers = spec_of(namespace).get("finalizers") or []
        kept = [f for f in finalizers if f != "kubernetes"]
        if kept != finalizers:
            current = self._namespaces.get(key) or namespace
            await self._kit.client.update(NAMESPACES, {**current, "spec": {"finalizers": kept}}, subresource="finalize")
        return DONE

    async def _empty_all(self, resources: list[Resource], namespace: str) -> Progress:
        """Empty every resource, whatever happens to one of them."""
        # Owners first: what they own is then not made anew while it is deleted.
        resources.sort(key=lambda r: _ORDER.index(r.plural) if r.plural in _ORDER else len(_ORDER))
        progress = Progress()
        for resource in resources:
            try:
                objects = await self._empty(resource, namespace)
            except (ApiError, TransportError) as error:
                progress.failures[resource.group_resource] = str(error)
                continue
            if objects:
                progress.left[resource.group_resource] = len(objects)
                progress.finalizers.update(f for o in objects for f in meta(o).get("finalizers") or ())
        return progress

    async def _empty(self, resource: Resource, namespace: str) -> list[Object]:
        """Delete what is there; the objects that are still there then."""
        try:
            found = (await self._kit.client.list(resource, namespace)).items
        except (NotFoundError, MethodNotAllowedError):
            return []
        doomed = [o for o in found if not meta(o).get("deletionTimestamp")]
        for error in await outcomes([self._delete(resource, namespace, o) for o in doomed]):
            if isinstance(error, Exception):
                raise error
        return (await self._kit.client.list(resource, namespace)).items if found else []

    async def _delete(self, resource: Resource, namespace: str, obj: Object) -> None:
        try:
            await self._kit.client.delete(resource, meta(obj)["name"], namespace, propagation="Background")
        except NotFoundError:
            return

    async def _tell(self, namespace: Object, progress: Progress) -> None:
        status = status_of(namespace)
        conditions = status.get("conditions") or []
        for new in conditions_of(progress):
            conditions = set_condition(conditions, new, self._kit.clock.now())
        if conditions != status.get("conditions"):
            current = self._namespaces.get(key_of(namespace)) or namespace
            await self._kit.client.update_status(NAMESPACES, {**current, "status": {**status, "conditions": conditions}})


def undiscovered(stale: list[str]) -> str:
    """What keeps a namespace: what an extension API server holds of it cannot be known while that does not answer."""
    if not stale:
        return ""
    words = ", ".join(f"{gv}: stale GroupVersion discovery: {gv}" for gv in sorted(stale))
    return f"{len(stale)} failing: unable to retrieve the complete list of server APIs: {words}"


def _deletable(resource: Resource) -> bool:
    return resource.namespaced and {"list", "delete"} <= set(resource.verbs)


def conditions_of(progress: Progress) -> list[dict[str, str]]:
    """The five conditions of a terminating namespace, in kube-controller-manager's words."""
    left = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(progress.left.items()))
    held = ", ".join(sorted(progress.finalizers))
    failed = ", ".join(f"{name}: {why}" for name, why in sorted(progress.failures.items()))
    return [
        _condition(
            "DiscoveryFailure",
            "ResourcesDiscovered",
            "All resources successfully discovered",
            "DiscoveryFailed",
            f"Discovery failed for some groups, {progress.discovery}" if progress.discovery else "",
        ),
        _condition("GroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed", "", ""),
        _condition(
            "ContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(progress.failures)} remaining: {failed}" if failed else "",
        ),
        _condition(
            "ContentRemaining",
            "ContentRemoved",
            "All content successfully removed",
            "SomeResourcesRemain",
            f"Some resources are remaining: {left}" if left else "",
        ),
        _condition(
            "FinalizersRemaining",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {held}" if held else "",
        ),
    ]


def _condition(kind: str, good: str, all_well: str, bad: str, trouble: str) -> dict[str, str]:
    remaining = kind in ("ContentRemaining", "FinalizersRemaining")
    name = f"Namespace{kind}" if remaining else f"NamespaceDeletion{kind}"
    state = "True" if trouble else "False"
    return {"type": name, "status": state, "reason": bad if trouble else good, "message": trouble or all_well}
