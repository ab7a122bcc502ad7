"""Pods that nobody will ever finish or remove: those of nodes that are gone or out of service, and too many finished ones.

Follows kube-controller-manager's pod garbage collector.
"""

from __future__ import annotations

from lateen.aio.tasks import gather
from lateen.cluster.controllers.kit import Kit, disrupted, spec_of, status_of
from lateen.errors import ConflictError, NotFoundError
from lateen.kube.meta import Key, Object, condition_true, key_of, meta, uid_of
from lateen.kube.resources import NODES, PODS
from lateen.reconcile import DONE, Controller, Result, Source

BY_NODE, BY_END = "node", "end"


OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
FINISHED = Key("", "")  # in the queue: look at the finished pods of all nodes
_SETTLE = 1.0


def controller(kit: Kit) -> Controller:
    """The controller, fed by nodes that go, pods on nodes that nobody knows or that are out of service, and pods that finish."""
    kit = kit.named("pod-garbage-collector")
    nodes, pods = kit.informer(NODES), kit.informer(PODS)

    def stranded(old: Object | None, new: Object | None) -> bool:
        if new is None or (old is not None and not _begins_to_go(old, new)):
            return False
        return any((node := nodes.get(Key("", n))) is None or out_of_service(node) for n in _node_of(new))

    return Controller(
        name="podgc",
        reconciler=PodGcReconciler(kit),
        sources=[
            Source(informer=nodes, predicate=lambda _, new: new is None or out_of_service(new)),
            Source(informer=pods, predicate=stranded, keys=lambda p: [Key("", n) for n in _node_of(p)]),
            Source(informer=pods, predicate=_finishes, keys=lambda _: [FINISHED], delay=_SETTLE),
        ],
        clock=kit.clock,
        workers=1,
    )


def out_of_service(node: Object) -> bool:
    """Whether a person said that a node that is not ready will not come back."""
    return not condition_true(node, "Ready") and any(t["key"] == OUT_OF_SERVICE for t in spec_of(node).get("taints") or ())


def _finished(pod: Object) -> bool:
    return status_of(pod).get("phase") in ("Succeeded", "Failed")


def _finishes(old: Object | None, new: Object | None) -> bool:
    return new is not None and _finished(new) and (old is None or not _finished(old))


def _begins_to_go(old: Object, new: Object) -> bool:
    return "deletionTimestamp" in meta(new) and "deletionTimestamp" not in meta(old)


def _node_of(pod: Object) -> tuple[str, ...]:
    node = spec_of(pod).get("nodeName")
    return (node,) if node else ()


class PodGcReconciler:
    """Removes the pods of a node that was deleted, once it has been away for ``node_grace`` (at most 40 s): it may come back; those
    that are going on a node out of service; and the oldest of too many finished ones, the evicted first."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._nodes, self._pods = kit.informer(NODES), kit.informer(PODS)
        self._pods.add_index(BY_NODE, _node_of)
        self._pods.add_index(BY_END, lambda p: ("finished",) if _finished(p) else ())
        self._missing: dict[str, float] = {}

    async def reconcile(self, key: Key) -> Result:
        if key == FINISHED:
            return await self._thin_out()
        node, pods = self._nodes.get(key), self._pods.by_index(BY_NODE, key.name)
        if node is not None or not pods:
            self._missing.pop(key.name, None)
            if node is not None and out_of_service(node):
                await gather([self._remove(p) for p in pods if "deletionTimestamp" in meta(p)])
            return DONE
        now = self._kit.clock.monotonic()
        left = self._missing.setdefault(key.name, now) + min(40.0, self._kit.settings.node_grace) - now
        if left > 0:
            return Result(left)
        await gather([self._remove(p, reason="DeletionByPodGC", message="PodGC: node no longer exists") for p in pods])
        self._missing.pop(key.name, None)
        return DONE

    async def _thin_out(self) -> Result:
        ended = [p for p in self._pods.by_index(BY_END, "finished") if "deletionTimestamp" not in meta(p)]
        if (surplus := len(ended) - self._kit.settings.finished_pods) > 0:
            oldest = sorted(ended, key=lambda p: (status_of(p).get("reason") != "Evicted", meta(p).get("creationTimestamp", "")))
            await gather([self._remove(p) for p in oldest[:surplus]])
        return DONE

    async def _remove(self, pod: Object, *, reason: str = "", message: str = "") -> None:
        """Without waiting for anybody; a pod that has not ended is said to have failed."""
        key = key_of(pod)
        try:
            if not _finished(pod):
                await self._fail(pod, reason, message)
            await self._kit.client.delete(PODS, key.name, key.namespace, grace_seconds=0, uid=uid_of(pod))
        except (NotFoundError, ConflictError):
            return

    async def _fail(self, pod: Object, reason: str, message: str) -> None:
        if reason:
            await disrupted(self._kit, pod, reason=reason, message=message, phase="Failed")
            return
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"phase": "Failed"}}
        key = key_of(pod)
        await self._kit.client.patch(PODS, key.name, patch, namespace=key.namespace, subresource="status")
