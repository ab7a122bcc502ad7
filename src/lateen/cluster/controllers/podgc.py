"""Pods that nobody will ever finish: bound to a node that is gone."""

from __future__ import annotations

from lateen.cluster.controllers.kit import Kit, disrupted, spec_of, status_of
from lateen.errors import ConflictError, NotFoundError
from lateen.kube.meta import Key, Object, key_of, uid_of
from lateen.kube.resources import NODES, PODS
from lateen.reconcile import DONE, Controller, Result, Source

BY_NODE = "node"


def controller(kit: Kit) -> Controller:
    """The controller, fed by the end of Nodes and by pods on nodes that nobody knows."""
    nodes = kit.informer(NODES)

    def stranded(old: Object | None, new: Object | None) -> bool:
        return old is None and new is not None and any(nodes.get(Key("", n)) is None for n in _node_of(new))

    return Controller(
        name="podgc",
        reconciler=PodGcReconciler(kit),
        sources=[
            Source(informer=nodes, predicate=lambda _, new: new is None),
            Source(informer=kit.informer(PODS), predicate=stranded, keys=lambda p: [Key("", n) for n in _node_of(p)]),
        ],
        clock=kit.clock,
        workers=1,
    )


def _node_of(pod: Object) -> tuple[str, ...]:
    node = spec_of(pod).get("nodeName")
    return (node,) if node else ()


class PodGcReconciler:
    """Removes the pods of a node that was deleted, once it has been away for ``node_grace`` (at most 40 s): it may come back."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._nodes, self._pods = kit.informer(NODES), kit.informer(PODS)
        self._pods.add_index(BY_NODE, _node_of)
        self._missing: dict[str, float] = {}

    async def reconcile(self, key: Key) -> Result:
        if self._nodes.get(key) is not None or not self._pods.by_index(BY_NODE, key.name):
            self._missing.pop(key.name, None)
            return DONE
        now = self._kit.clock.monotonic()
        left = self._missing.setdefault(key.name, now) + min(40.0, self._kit.settings.node_grace) - now
        if left > 0:
            return Result(left)
        for pod in self._pods.by_index(BY_NODE, key.name):
            try:
                ended = status_of(pod).get("phase") in ("Succeeded", "Failed")
                message = "PodGC: node no longer exists"
                if not ended:
                    await disrupted(self._kit, pod, reason="DeletionByPodGC", message=message, phase="Failed")
                await self._kit.client.delete(PODS, key_of(pod).name, key_of(pod).namespace, grace_seconds=0, uid=uid_of(pod))
            except (NotFoundError, ConflictError):
                continue
        self._missing.pop(key.name, None)
        return DONE
