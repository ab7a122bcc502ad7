"""PodDisruptionBudgets: how many pods may be disrupted now. Follows kube-controller-manager's disruption controller."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lateen.cluster.controllers.kit import Kit, pod_active, pod_ready, spec_of, status_of
from lateen.cluster.controllers.selecting import PodsByLabels, Selecting
from lateen.kube.intstr import scaled
from lateen.kube.meta import Key, Object, controller_of, key_of, meta, parse_time, set_condition
from lateen.kube.resources import DEPLOYMENTS, PDBS, PODS, REPLICASETS, REPLICATIONCONTROLLERS, STATEFULSETS
from lateen.reconcile import DONE, Controller, Result, Source

_EVICTION_SECONDS = 120.0  # how long an eviction counts that has not yet shown as a deletion


def controller(kit: Kit) -> Controller:
    """The controller, fed by budgets and the pods they select."""
    budgets = kit.informer(PDBS)

    selecting = Selecting(budgets, "budgets", lambda b: spec_of(b).get("selector"))
    return Controller(
        name="disruption",
        reconciler=DisruptionReconciler(kit),
        sources=[Source(informer=budgets), Source(informer=kit.informer(PODS), keys=selecting.keys, delay=0.05)],
        clock=kit.clock,
        workers=2,
    )


class DisruptionReconciler:
    """One budget's status."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._budgets, self._pods = kit.informer(PDBS), PodsByLabels(kit.informer(PODS))
        self._deployments, self._sets = kit.informer(DEPLOYMENTS), kit.informer(REPLICASETS)
        self._statefulsets, self._replication = kit.informer(STATEFULSETS), kit.informer(REPLICATIONCONTROLLERS)

    async def reconcile(self, key: Key) -> Result:
        budget = self._budgets.get(key)
        if budget is None:
            return DONE
        pods = [p for p in self._pods.selected(key.namespace, spec_of(budget).get("selector")) if pod_active(p)]
        status = new_status(budget, pods, self._expected(pods), self._kit.clock.now())
        if status != status_of(budget):
            await self._kit.client.update_status(PDBS, {**budget, "status": status})
        return Result(recheck(status, self._kit.clock.now()))

    def _expected(self, pods: Sequence[Object]) -> int:
        """How many pods their controllers want: what percentages count from. A pod of nobody counts as itself."""
        found = [self._scaled(p) for p in pods]
        wanted: dict[str, int] = {
            owner["metadata"]["uid"]: spec_of(owner).get("replicas", 1) for owner in found if owner is not None
        }
        return sum(wanted.values()) + sum(1 for owner in found if owner is None)

    def _scaled(self, pod: Object) -> Object | None:
        """What sets the number of pods like this one: its Deployment, ReplicaSet, StatefulSet or ReplicationController."""
        owner = self._owner(pod)
        return (self._owner(owner) or owner) if owner is not None else None

    def _owner(self, obj: Object) -> Object | None:
        ref = controller_of(obj)
        informers = {
            "Deployment": self._deployments,
            "ReplicaSet": self._sets,
            "StatefulSet": self._statefulsets,
            "ReplicationController": self._replication,
        }
        if ref is None or ref["kind"] not in informers:
            return None
        return informers[ref["kind"]].get(Key(key_of(obj).namespace, ref["name"]))


def recheck(status: dict[str, Any], now: datetime) -> float | None:
    """Seconds until the first eviction that has not shown as a deletion stops to count."""
    moments = (status.get("disruptedPods") or {}).values()
    return min((max(0.0, _EVICTION_SECONDS - (now - parse_time(w)).total_seconds()) for w in moments), default=None)


def new_status(budget: Object, pods: Sequence[Object], expected: int, now: datetime) -> dict[str, Any]:
    """The budget's status."""
    spec = spec_of(budget)
    if spec.get("maxUnavailable") is not None:
        desired = max(0, expected - scaled(spec["maxUnavailable"], expected, round_up=True))
    elif isinstance(spec.get("minAvailable"), int):
        desired, expected = spec["minAvailable"], len(pods)
    else:
        desired = scaled(spec.get("minAvailable", 1), expected, round_up=True)
    disrupted = {
        name: when
        for name, when in (status_of(budget).get("disruptedPods") or {}).items()
        if (now - parse_time(when)).total_seconds() < _EVICTION_SECONDS and any(meta(p)["name"] == name for p in pods)
    }
    healthy = sum(1 for p in pods if pod_ready(p) and meta(p)["name"] not in disrupted)
    allowed = max(0, healthy - desired) if expected else 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    condition = {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "reason": reason,
        "message": "",
        "observedGeneration": meta(budget).get("generation", 1),
    }
    status: dict[str, Any] = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": meta(budget).get("generation", 1),
        "conditions": set_condition(status_of(budget).get("conditions"), condition, now),
    }
    return status | ({"disruptedPods": disrupted} if disrupted else {})
