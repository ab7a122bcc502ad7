"""The garbage collector: objects go when their owners are gone. Follows kube-controller-manager's garbage collector.

Every deletable resource is watched. An object whose owners have all gone is deleted; an owner that is deleted in the foreground
(finalizer foregroundDeletion) waits for its dependents; one deleted as an orphan (finalizer orphan) lets go of them first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from lateen.aio.tasks import gather
from lateen.client.informer import Informer
from lateen.cluster.controllers.kit import Kit
from lateen.errors import ApiError, NotFoundError, TransportError
from lateen.kube.meta import Key, Object, key_of, meta, uid_of
from lateen.kube.resources import APISERVICES, CRDS, Resource
from lateen.reconcile import DONE, Controller, Result, Source, finalizers

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_IGNORED = frozenset({"events", "componentstatuses"})  # never owners, never owned, and there are many
_REMEMBERED = 4096  # owners known to be gone
_BATCH = 64


def controller(kit: Kit) -> Controller:
    """The controller. Its one key per UID; resources are found by discovery when it starts and when CRDs or APIServices change."""
    reconciler = GarbageCollector(kit)
    made = Controller(
        name="garbage",
        reconciler=reconciler,
        sources=[Source(informer=kit.informer(r), keys=lambda _: (RESCAN,)) for r in (CRDS, APISERVICES)],
        clock=kit.clock,
        workers=32,
    )
    made.queue.add(RESCAN)
    reconciler.add = made.queue.add
    return made


RESCAN = Key("", "")


@dataclass(frozen=True, slots=True)
class Node:
    """An object of the graph."""

    resource: Resource
    obj: Object


class GarbageCollector:
    """The graph of owners and dependents over all resources. A key is (``uid``, the object's UID)."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}
        self._watched: dict[str, Informer] = {}
        self._absent: set[str] = set()
        self.add: Callable[[Key], None] = lambda key: None  # set once, by ``controller``

    async def reconcile(self, key: Key) -> Result:
        if key == RESCAN:
            return await self._rescan()
        uid = key.name
        node = self._nodes.get(uid)
        if node is None:
            for dependent in list(self._dependents.get(uid, ())):
                self.add(Key("uid", dependent))
            return DONE
        if meta(node.obj).get("deletionTimestamp"):
            return await self._finalize(node)
        if meta(node.obj).get("ownerReferences"):
            await self._collect(node)
        return DONE

    async def _rescan(self) -> Result:
        self._kit.discovery.forget()
        try:
            found = await self._kit.discovery.preferred()
        except (ApiError, TransportError):
            return Result(0.5)
        served = {r.group_resource: r for r in found if _collectable(r)}
        for name, resource in served.items():
            if name not in self._watched:
                self._watch(resource)
        stale = self._kit.discovery.stale  # what they hold is unknown, not gone
        for name in [n for n, i in self._watched.items() if n not in served and i.resource.api_version not in stale]:
            self._forget(self._watched.pop(name))
        return DONE

    def _forget(self, informer: Informer) -> None:
        """The resource is no longer served: its objects went with it."""
        self._kit.informers.drop(informer)
        for obj in informer.list():
            self._change(informer.resource, obj, None)

    def _watch(self, resource: Resource) -> None:
        informer = self._kit.informer(resource)
        self._watched[resource.group_resource] = informer

        def handle(old: Object | None, new: Object | None) -> None:
            self._change(resource, old, new)

        informer.subscribe(handle)

    def _change(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        uid = uid_of(new or old or {})
        for owner in _owner_uids(old or {}):
            self._undepend(owner, uid)
        if new is None:
            self._nodes.pop(uid, None)
            for owner in _owner_uids(old or {}):
                self._left(owner)
            self.add(Key("uid", uid))
            return
        self._nodes[uid] = Node(resource, new)
        owners = _owner_uids(new)
        for owner in owners:
            self._dependents.setdefault(owner, set()).add(uid)
        for owner in set(_owner_uids(old or {})).difference(owners):
            self._left(owner)
        changed = old is None or meta(old).get("ownerReferences") != meta(new).get("ownerReferences")
        if (owners and changed) or meta(new).get("deletionTimestamp"):
            self.add(Key("uid", uid))

    def _undepend(self, owner: str, uid: str) -> None:
        dependents = self._dependents.get(owner)
        if dependents is not None:
            dependents.discard(uid)
            if not dependents:
                del self._dependents[owner]

    def _left(self, owner: str) -> None:
        """One dependent fewer: an owner that waits for that looks again."""
        node = self._nodes.get(owner)
        if node is not None and FOREGROUND in (meta(node.obj).get("finalizers") or ()):
            self.add(Key("uid", owner))

    async def _collect(self, node: Node) -> None:
        """Delete the object if no owner is left; drop references to owners that are gone if some are."""
        refs = meta(node.obj)["ownerReferences"]
        states = [await self._owner_state(ref, key_of(node.obj).namespace) for ref in refs]
        solid = [r for r, s in zip(refs, states, strict=True) if s == "there"]
        waiting = [r for r, s in zip(refs, states, strict=True) if s == "waiting"]
        key = key_of(node.obj)
        if solid:
            if len(solid) != len(refs):
                version = meta(node.obj)["resourceVersion"]  # somebody may be adding an owner right now
                patch = {"metadata": {"uid": uid_of(node.obj), "resourceVersion": version, "ownerReferences": solid}}
                await self._kit.client.patch(node.resource, key.name, patch, namespace=key.namespace)
            return
        blocking = bool(waiting) and bool(self._dependents.get(uid_of(node.obj)))
        held = meta(node.obj).get("finalizers") or ()
        policy = "Orphan" if ORPHAN in held else "Foreground" if blocking or FOREGROUND in held else "Background"
        try:
            await self._kit.client.delete(node.resource, key.name, key.namespace, uid=uid_of(node.obj), propagation=policy)
        except NotFoundError:
            return

    async def _owner_state(self, ref: dict[str, str], namespace: str) -> str:
        """``there``, ``waiting`` (it is deleted in the foreground) or ``gone``."""
        node = self._nodes.get(ref["uid"])
        if node is not None:
            deleting = meta(node.obj).get("deletionTimestamp") and FOREGROUND in (meta(node.obj).get("finalizers") or ())
            return "waiting" if deleting else "there"
        if ref["uid"] in self._absent:
            return "gone"
        # The graph may lag behind: ask before anything is deleted.
        resource = await self._kit.discovery.find(ref["apiVersion"], ref["kind"])
        if resource is None:
            return "there"
        try:
            found = await self._kit.client.get(resource, ref["name"], namespace if resource.namespaced else "")
        except NotFoundError:
            found = {}
        if uid_of(found) == ref["uid"]:
            return "there"
        if len(self._absent) >= _REMEMBERED:
            self._absent.clear()
        self._absent.add(ref["uid"])
        return "gone"

    async def _finalize(self, node: Node) -> Result:
        dependents = [self._nodes[u] for u in self._dependents.get(uid_of(node.obj), ()) if u in self._nodes]
        if finalizers.holds(node.obj, ORPHAN):
            await self._each(dependents, lambda d: self._let_go(d, uid_of(node.obj)))
            await finalizers.release(self._kit.client, node.resource, node.obj, ORPHAN)
        elif finalizers.holds(node.obj, FOREGROUND):
            blocking = [d for d in dependents if _blocks(d.obj, uid_of(node.obj))]
            if not blocking:
                await finalizers.release(self._kit.client, node.resource, node.obj, FOREGROUND)
                return DONE
            await self._each([d for d in dependents if not meta(d.obj).get("deletionTimestamp")], self._collect)
        return DONE

    async def _each(self, nodes: Sequence[Node], work: Callable[[Node], Awaitable[None]]) -> None:
        for start in range(0, len(nodes), _BATCH):
            await gather([work(n) for n in nodes[start : start + _BATCH]])

    async def _let_go(self, node: Node, owner: str) -> None:
        refs = [r for r in meta(node.obj).get("ownerReferences") or () if r["uid"] != owner]
        key = key_of(node.obj)
        try:
            patch = {"metadata": {"uid": uid_of(node.obj), "ownerReferences": refs or None}}
            await self._kit.client.patch(node.resource, key.name, patch, namespace=key.namespace)
        except NotFoundError:
            return


def _collectable(resource: Resource) -> bool:
    return {"list", "watch", "delete"} <= set(resource.verbs) and resource.plural not in _IGNORED


def _owner_uids(obj: Object) -> Iterable[str]:
    return [r["uid"] for r in meta(obj).get("ownerReferences") or ()]


def _blocks(obj: Object, owner: str) -> bool:
    return any(r["uid"] == owner and r.get("blockOwnerDeletion") for r in meta(obj).get("ownerReferences") or ())
