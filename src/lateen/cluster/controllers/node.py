"""Node lifecycle: a node whose Lease is not renewed is not ready, is tainted, and its pods move after their toleration.

Follows kube-controller-manager's node lifecycle and taint eviction controllers, with one Lease per node as the heartbeat.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lateen.aio.tasks import outcomes
from lateen.cluster.controllers.kit import Kit, disrupted, pod_ready, spec_of, status_of
from lateen.cluster.controllers.podgc import BY_NODE
from lateen.cluster.controllers.zones import rates, zone_of
from lateen.errors import ConflictError, NotFoundError
from lateen.kube.meta import (
    Key,
    Object,
    condition,
    condition_true,
    key_of,
    meta,
    micro_timestamp,
    parse_time,
    set_condition,
    timestamp,
    uid_of,
)
from lateen.kube.nodeterms import tolerates
from lateen.kube.resources import LEASES, NODES, PODS
from lateen.reconcile import DONE, Controller, Result, Source

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
LEASE_NAMESPACE = "kube-node-lease"
_LOOK = 5.0  # seconds until a zone that keeps its pods is looked at again
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}


def controller(kit: Kit) -> Controller:
    """The controller, fed by Nodes; Leases are looked at when their time comes."""
    kit = kit.named("node-controller")
    nodes = kit.informer(NODES)

    def placed(old: Object | None, new: Object | None) -> bool:
        """A pod came to a tainted node: its toleration begins to run."""
        name = spec_of(new or {}).get("nodeName")
        node = nodes.get(Key("", name)) if name and not (old and spec_of(old).get("nodeName")) else None
        return node is not None and bool(_expelling(node))

    return Controller(
        name="node",
        reconciler=NodeReconciler(kit),
        sources=[
            Source(informer=nodes),
            Source(informer=kit.informer(PODS), keys=_node_key, predicate=placed, delay=0.05),
        ],
        clock=kit.clock,
        workers=2,
    )


def _node_key(pod: Object) -> tuple[Key, ...]:
    node = spec_of(pod).get("nodeName")
    return (Key("", node),) if node else ()


def _expelling(node: Object) -> list[dict[str, Any]]:
    """The taints that drive pods away."""
    return [t for t in spec_of(node).get("taints") or () if t["effect"] == "NoExecute"]


class NodeReconciler:
    """One node's condition, taints, and the eviction of its pods."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._nodes, self._leases, self._pods = kit.informer(NODES), kit.informer(LEASES), kit.informer(PODS)
        self._pods.add_index(BY_NODE, lambda p: (n,) if (n := spec_of(p).get("nodeName")) else ())
        self._first_seen: dict[str, float] = {}
        self._paces: dict[str, float] = {}  # per zone: when the next node's turn is

    async def reconcile(self, key: Key) -> Result:
        node = self._nodes.get(key)
        if node is None:
            if self._first_seen.pop(key.name, None) is not None:
                self._say({"metadata": {"name": key.name}}, "RemovingNode", f"Removing Node {key.name} from Controller")
            return DONE
        if key.name not in self._first_seen:
            self._say(node, "RegisteredNode", f"Registered Node {key.name} in Controller")
        now = self._kit.clock.now()
        silent = self._silence(key.name, now)
        grace = self._kit.settings.node_grace
        if silent >= grace:
            if _ready(node) != "Unknown":
                node = await self._unknown(node, now)
            await self._not_ready(key.name, now)
        node, turn = await self._taint(node, now)
        left = await self._evict(node, now)
        look = grace - silent if silent < grace else grace  # a node that comes back says so itself
        return Result(max(0.1, min(w for w in (look, turn, left) if w is not None)))

    def _say(self, node: Object, reason: str, message: str) -> None:
        name = meta(node)["name"]
        about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": uid_of(node) or name}}
        self._kit.recorder.normal(about, reason, f"Node {name} event: {message}")

    def _silence(self, name: str, now: datetime) -> float:
        """Seconds since the node was last heard of; counted from our own start at most, because we may have been away."""
        started = self._first_seen.setdefault(name, self._kit.clock.monotonic())
        lease = self._leases.get(Key(LEASE_NAMESPACE, name))
        renewed = spec_of(lease).get("renewTime") if lease else None
        since_start = self._kit.clock.monotonic() - started
        return min(since_start, (now - parse_time(renewed)).total_seconds()) if renewed else since_start

    async def _unknown(self, node: Object, now: datetime) -> Object:
        status = status_of(node)
        conditions = status.get("conditions")
        for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"):
            new = {
                "type": kind,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastHeartbeatTime": timestamp(now),
            }
            conditions = set_condition(conditions, new, now)
        self._kit.recorder.normal(node, "NodeNotReady", f"Node {meta(node)['name']} status is now: NodeNotReady")
        return await self._kit.client.update_status(NODES, {**node, "status": {**status, "conditions": conditions}})

    async def _not_ready(self, node: str, now: datetime) -> None:
        """No pod of a silent node counts as ready. Every time it is looked at, because the last time may have been cut short."""
        stale = [p for p in self._pods.by_index(BY_NODE, node) if pod_ready(p)]
        for error in await outcomes([self._pod_not_ready(p, now) for p in stale]):
            if isinstance(error, Exception):
                raise error

    async def _pod_not_ready(self, pod: Object, now: datetime) -> None:
        new = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
        self._kit.recorder.warning(pod, "NodeNotReady", "Node is not ready")
        conditions = set_condition(status_of(pod)["conditions"], new, now)
        try:
            await self._kit.client.update_status(PODS, {**pod, "status": {**status_of(pod), "conditions": conditions}})
        except (ConflictError, NotFoundError):
            return  # it changed or went: its next state is not ours to say

    async def _taint(self, node: Object, now: datetime) -> tuple[Object, float | None]:
        """The node with its taints as they should be; seconds until its pods may be driven out, if that has to wait."""
        wanted, have = taints_for(node, now), spec_of(node).get("taints") or []
        turn = self._turn(node) if any(map(_drives_out, wanted)) else None
        if turn:
            wanted = [t for t in wanted if not _drives_out(t)]
        if wanted != have:
            patch = {"spec": {"taints": wanted or None}, "metadata": {"resourceVersion": meta(node)["resourceVersion"]}}
            node = await self._kit.client.patch(NODES, meta(node)["name"], patch)
            if turn == 0 and not any(map(_drives_out, have)):
                self._paces[zone_of(node)] = self._kit.clock.monotonic() + 1 / self._rates()[zone_of(node)]
        return node, turn or None

    def _turn(self, node: Object) -> float:
        """Seconds until a silent node may lose its pods; 0 if it may now."""
        found = self._rates()
        if any(map(_drives_out, spec_of(node).get("taints") or ())) and any(found.values()):
            return 0.0
        if not found[zone_of(node)]:
            return _LOOK
        return max(0.0, self._paces.get(zone_of(node), 0.0) - self._kit.clock.monotonic())

    def _rates(self) -> dict[str, float]:
        return rates(self._nodes.list())

    async def _evict(self, node: Object, now: datetime) -> float | None:
        """Delete pods whose toleration of a NoExecute taint ended; seconds until the next one ends."""
        taints = _expelling(node)
        if not taints:
            return None
        staying = [p for p in self._pods.by_index(BY_NODE, meta(node)["name"]) if not meta(p).get("deletionTimestamp")]
        lefts = [(p, left) for p in staying if (left := toleration_left(p, taints, now)) is not None]
        for error in await outcomes([self._delete(p) for p, left in lefts if left <= 0]):
            if isinstance(error, Exception):
                raise error
        return min((left for _, left in lefts if left > 0), default=None)

    async def _delete(self, pod: Object) -> None:
        recorder = self._kit.recorder.named("taint-eviction-controller")
        recorder.normal(pod, "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}")
        try:
            message = "Taint manager: deleting due to NoExecute taint"
            await disrupted(self._kit, pod, reason="DeletionByTaintManager", message=message)
            await self._kit.client.delete(PODS, key_of(pod).name, key_of(pod).namespace, uid=uid_of(pod))
        except (NotFoundError, ConflictError):
            return


def taints_for(node: Object, now: datetime) -> list[dict[str, Any]]:
    """The taints that the node should have: what its conditions and ``spec.unschedulable`` say; foreign ones stay."""
    pressed = [key for kind, key in _PRESSURES.items() if condition_true(node, kind)]
    wanted = [(key, "NoSchedule") for key in pressed]
    if spec_of(node).get("unschedulable"):
        wanted.append(("node.kubernetes.io/unschedulable", "NoSchedule"))
    if lost := {"False": NOT_READY, "Unknown": UNREACHABLE}.get(_ready(node)):
        wanted += [(lost, "NoSchedule"), (lost, "NoExecute")]
    ours = {NOT_READY, UNREACHABLE, "node.kubernetes.io/unschedulable", *_PRESSURES.values()}
    kept = [t for t in spec_of(node).get("taints") or () if t["key"] not in ours or (t["key"], t["effect"]) in wanted]
    have = {(t["key"], t["effect"]) for t in kept}
    return kept + [{"key": k, "effect": e, "timeAdded": timestamp(now)} for k, e in wanted if (k, e) not in have]


def _drives_out(taint: dict[str, Any]) -> bool:
    return taint["key"] in (NOT_READY, UNREACHABLE) and taint["effect"] == "NoExecute"


def _ready(node: Object) -> str:
    found = condition(status_of(node).get("conditions"), "Ready")
    return str(found.get("status")) if found else "False"


def toleration_left(pod: Object, taints: list[dict[str, Any]], now: datetime) -> float | None:
    """Seconds that the pod still tolerates all ``taints``; 0 or less if it does not; None for ever. Of several tolerations that
    cover a taint the first counts; of several taints the one whose time ends first."""
    lefts: list[float] = []
    for taint in taints:
        first = next((t for t in spec_of(pod).get("tolerations") or () if tolerates(t, taint)), None)
        if first is None:
            return 0.0
        if (limit := first.get("tolerationSeconds")) is not None:
            added = parse_time(taint.get("timeAdded") or micro_timestamp(now))
            lefts.append(limit - (now - added).total_seconds())
    return min(lefts, default=None)
