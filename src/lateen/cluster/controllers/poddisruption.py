"""PodDisruptionBudgets: how many pods may be disrupted now. Follows kube-controller-manager's disruption controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lateen.client.informer import Informer
from lateen.cluster.controllers.kit import Kit, pod_ready, spec_of, status_of
from lateen.cluster.controllers.selecting import PodsByLabels, Selecting
from lateen.errors import NotFoundError
from lateen.kube.intstr import scaled
from lateen.kube.meta import Key, Object, controller_of, key_of, meta, parse_time, set_condition, uid_of
from lateen.kube.resources import DEPLOYMENTS, PDBS, PODS, REPLICASETS, REPLICATIONCONTROLLERS, STATEFULSETS
from lateen.reconcile import DONE, Controller, Result, Source

_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of the PDB "
    "cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set "
    '".spec.minAvailable" field of the PDB to an integer value.'
)
_EVICTION_SECONDS = 120.0  # how long an eviction counts that has not yet shown as a deletion


def controller(kit: Kit) -> Controller:
    """The controller, fed by budgets and the pods they select."""
    kit = kit.named("controllermanager")
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
        self._scales = Scales(kit)

    async def reconcile(self, key: Key) -> Result:
        budget = self._budgets.get(key)
        if budget is None:
            return DONE
        pods = self._pods.selected(key.namespace, spec_of(budget).get("selector"))
        if not pods:
            self._kit.recorder.normal(budget, "NoPods", "No matching pods found")
        now = self._kit.clock.now()
        try:
            status = new_status(budget, pods, await self._expected(budget, pods), now)
        except LookupError as error:
            text = f"Failed to calculate the number of expected pods: {error.args[0]}"
            self._kit.recorder.warning(budget, "CalculateExpectedPodCountFailed", text)
            status = failed_status(budget, str(error.args[0]), now)
        if status != status_of(budget):
            await self._kit.client.update_status(PDBS, {**budget, "status": status})
        return Result(recheck(status, self._kit.clock.now()))

    async def _expected(self, budget: Object, pods: Sequence[Object]) -> int:
        """How many pods their controllers want: what percentages count from. LookupError when one of them does not say."""
        if spec_of(budget).get("maxUnavailable") is None and isinstance(spec_of(budget).get("minAvailable"), int):
            return len(pods)
        wanted: dict[str, int] = {}
        for ref in {r["uid"]: r for p in pods if (r := controller_of(p)) is not None}.values():
            uid, count = await self._scales.of(ref, key_of(budget).namespace)
            wanted[uid] = count
        if any(controller_of(p) is None for p in pods):
            self._kit.recorder.warning(budget, "UnmanagedPods", _UNMANAGED.format(_as_go(spec_of(budget).get("selector") or {})))
        return sum(wanted.values())


class Scales:
    """How many pods a controller wants, asked in its own words or by its scale subresource."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._deployments = kit.informer(DEPLOYMENTS)
        self._informers: dict[tuple[str, str], Informer] = {
            ("apps", "ReplicaSet"): kit.informer(REPLICASETS),
            ("apps", "StatefulSet"): kit.informer(STATEFULSETS),
            ("", "ReplicationController"): kit.informer(REPLICATIONCONTROLLERS),
        }

    async def of(self, ref: Mapping[str, Any], namespace: str) -> tuple[str, int]:
        """UID and count of what sets the size: a ReplicaSet's Deployment where it has one. LookupError."""
        group = ref["apiVersion"].rpartition("/")[0]
        informer = self._informers.get((group, ref["kind"]))
        if informer is None:
            return await self._asked(ref, namespace)
        owner = informer.get(Key(namespace, ref["name"]))
        if owner is None or uid_of(owner) != ref["uid"]:
            raise LookupError(f"found no controllers for pod of {ref['kind']} {ref['name']}")
        above = controller_of(owner) or {}
        deployment = self._deployments.get(Key(namespace, above["name"])) if above.get("kind") == "Deployment" else None
        sizing = deployment if deployment is not None and uid_of(deployment) == above["uid"] else owner
        return uid_of(sizing), spec_of(sizing).get("replicas", 1)

    async def _asked(self, ref: Mapping[str, Any], namespace: str) -> tuple[str, int]:
        resource = await self._kit.discovery.find(ref["apiVersion"], ref["kind"])
        if resource is None:
            raise LookupError(f'no matches for kind "{ref["kind"]}" in version "{ref["apiVersion"]}"')
        if "scale" not in resource.subresources:
            raise LookupError(f"{resource.group_resource} does not implement the scale subresource")
        try:
            scale = await self._kit.client.get(resource, ref["name"], namespace, subresource="scale")
        except NotFoundError as error:
            raise LookupError(f"found no controllers for pod of {ref['kind']} {ref['name']}") from error
        if uid_of(scale) != ref["uid"]:
            raise LookupError(f"found no controllers for pod of {ref['kind']} {ref['name']}")
        return uid_of(scale), int(spec_of(scale).get("replicas") or 0)


def _as_go(selector: Mapping[str, Any]) -> str:
    """A selector as Go prints it, which is how the event shows it."""
    labels = "".join(f"{k}: {v}," for k, v in sorted((selector.get("matchLabels") or {}).items()))
    found = [(e["key"], e["operator"], " ".join(e.get("values") or ())) for e in selector.get("matchExpressions") or ()]
    rules = "".join(f"LabelSelectorRequirement{{Key:{k},Operator:{o},Values:[{v}],}}," for k, o, v in found)
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"


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
        desired = spec["minAvailable"]
    else:
        desired = scaled(spec.get("minAvailable", 1), expected, round_up=True)
    disrupted = {
        name: when
        for name, when in (status_of(budget).get("disruptedPods") or {}).items()
        if (now - parse_time(when)).total_seconds() < _EVICTION_SECONDS
        and any(meta(p)["name"] == name for p in pods if not _going(p))
    }
    healthy = sum(1 for p in pods if pod_ready(p) and not _going(p) and meta(p)["name"] not in disrupted)
    allowed = max(0, healthy - desired) if expected > 0 else 0
    status: dict[str, Any] = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": meta(budget).get("generation", 1),
        "conditions": _allowed(budget, bool(allowed), "SufficientPods" if allowed else "InsufficientPods", "", now),
    }
    return status | ({"disruptedPods": disrupted} if disrupted else {})


def failed_status(budget: Object, problem: str, now: datetime) -> dict[str, Any]:
    """The status of a budget that nothing can be counted for: no pod may be disrupted."""
    counts = dict.fromkeys(("currentHealthy", "desiredHealthy", "expectedPods"), 0)
    conditions = _allowed(budget, False, "SyncFailed", problem, now)
    return {**counts, **status_of(budget), "disruptionsAllowed": 0, "conditions": conditions}


def _allowed(budget: Object, allowed: bool, reason: str, message: str, now: datetime) -> list[dict[str, Any]]:
    new = {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": meta(budget).get("generation", 1),
    }
    return set_condition(status_of(budget).get("conditions"), new, now)


def _going(pod: Object) -> bool:
    return "deletionTimestamp" in meta(pod)
