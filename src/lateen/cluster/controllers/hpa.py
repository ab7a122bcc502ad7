"""HorizontalPodAutoscalers at work: every 15 seconds read the metrics, ask ``hpa_plan``, set the scale. Follows
kube-controller-manager (horizontal.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.cluster.controllers import hpa_plan as plan
from lateen.cluster.controllers.hpa_metrics import Metrics, Scaled
from lateen.cluster.controllers.kit import Kit, spec_of, status_of
from lateen.errors import ApiError, InputError
from lateen.kube.meta import Key, Object, key_of, set_condition, timestamp, uid_of
from lateen.kube.resources import HPAS, PODS, Resource
from lateen.reconcile import DONE, Controller, Result, Source

PERIOD = 15.0


def controller(kit: Kit) -> Controller:
    """The controller, fed by autoscalers; the rest is time."""
    kit = kit.named("horizontal-pod-autoscaler")
    return Controller(
        name="horizontalpodautoscaler",
        reconciler=HpaReconciler(kit),
        sources=[Source(informer=kit.informer(HPAS), predicate=_changed)],
        clock=kit.clock,
    )


def _changed(old: Object | None, new: Object | None) -> bool:
    """Our own writes of the status are not news."""
    return old is None or new is None or old.get("spec") != new.get("spec")


class HpaReconciler:
    """One autoscaler: the count its metrics ask for, and the conditions that say why."""

    def __init__(self, kit: Kit) -> None:
        self._kit, self._metrics = kit, Metrics(kit)
        self._hpas = kit.informer(HPAS)
        self._past: dict[str, plan.Past] = {}

    async def reconcile(self, key: Key) -> Result:
        hpa = self._hpas.get(key)
        if hpa is None:
            self._past = {u: p for u, p in self._past.items() if any(uid_of(h) == u for h in self._hpas.list())}
            return DONE
        state = _State(hpa, self._kit)
        try:
            await self._scale(hpa, state)
        except (ApiError, InputError) as error:
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            state.condition("AbleToScale", False, "FailedGetScale", text)
            self._kit.recorder.warning(hpa, "FailedGetScale", str(error))
        await self._write(hpa, state.status)
        return Result(PERIOD)

    async def _scale(self, hpa: Object, state: _State) -> None:
        ref = spec_of(hpa)["scaleTargetRef"]
        version = str(ref.get("apiVersion") or "")
        resource = await self._kit.discovery.find(version, ref["kind"]) if version else None
        if resource is None:
            raise InputError(f'no matches for kind "{ref["kind"]}" in group "{version.rpartition("/")[0]}"')
        scale = await self._kit.client.get(resource, ref["name"], key_of(hpa).namespace, subresource="scale")
        state.condition("AbleToScale", True, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
        current = int(spec_of(scale).get("replicas") or 0)
        state.status["currentReplicas"] = int(status_of(scale).get("replicas") or 0)
        desired = await self._desired(hpa, scale, current, state)
        if desired is None:
            return
        state.status["desiredReplicas"] = desired
        if desired != current:
            await self._set(hpa, resource, scale, desired, state)

    async def _desired(self, hpa: Object, scale: Object, current: int, state: _State) -> int | None:
        """The count to set; None: nothing is to be done."""
        spec = spec_of(hpa)
        lowest, highest = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
        if current == 0 and lowest != 0:
            text = "scaling is disabled since the replica count of the target is zero"
            state.condition("ScalingActive", False, "ScalingDisabled", text)
            return None
        if current > highest:
            state.reason = "Current number of replicas above Spec.MaxReplicas"
            return highest
        if current < lowest:
            state.reason = "Current number of replicas below Spec.MinReplicas"
            return lowest
        wanted = await self._wanted(hpa, scale, current, state)
        if wanted is None:
            return None
        past = self._past.setdefault(uid_of(hpa), plan.Past())
        found = plan.given(hpa, past, wanted, current, self._kit.clock.now())
        state.condition("AbleToScale", True, *found.able)
        state.condition("ScalingLimited", *found.limited)
        return found.replicas

    async def _wanted(self, hpa: Object, scale: Object, current: int, state: _State) -> int | None:
        """The largest count that a metric asks for. Where one is unknown, nothing is scaled down."""
        selector = status_of(scale).get("selector") or ""
        if not selector:
            self._kit.recorder.warning(hpa, "SelectorRequired", "selector is required")
            state.condition("ScalingActive", False, "InvalidSelector", "the HPA target's scale is missing a selector")
            return None
        pods = (await self._kit.client.list(PODS, key_of(hpa).namespace, label_selector=selector)).items
        running = int(status_of(scale).get("replicas") or 0)
        scaled = Scaled(hpa=hpa, pods=pods, current=current, running=running, selector=selector)
        best, chosen = -1, {}
        shown: list[dict[str, Any]] = []
        failed: list[plan.MetricError] = []
        for metric in spec_of(hpa).get("metrics") or ():
            try:
                found, status = await self._metrics.proposal(scaled, metric)
            except plan.MetricError as error:
                failed.append(error)
                self._kit.recorder.warning(hpa, error.reason, error.message)
                continue
            shown.append(status)
            if found.replicas > best:
                best, chosen = found.replicas, metric
                state.reason = f"{plan.metric_words(metric)} {'above' if found.replicas > current else 'below'} target"
        state.status["currentMetrics"] = shown
        if failed and (best < 0 or best < current):
            text = f"the HPA was unable to compute the replica count: {failed[0].message}"
            state.condition("ScalingActive", False, failed[0].reason, text)
            metrics = len(spec_of(hpa).get("metrics") or ())
            why = f"invalid metrics ({len(failed)} invalid out of {metrics}), first error is: {failed[0].message}"
            self._kit.recorder.warning(hpa, "FailedComputeMetricsReplicas", why)
            return None
        text = f"the HPA was able to successfully calculate a replica count from {plan.metric_words(chosen)}"
        state.condition("ScalingActive", True, "ValidMetricFound", text)
        return best

    async def _set(self, hpa: Object, resource: Resource, scale: Object, desired: int, state: _State) -> None:
        current = int(spec_of(scale).get("replicas") or 0)
        new = {**scale, "spec": {**spec_of(scale), "replicas": desired}}
        try:
            await self._kit.client.update(resource, new, subresource="scale")
        except ApiError as error:
            text = f"the HPA controller was unable to update the target scale: {error}"
            state.condition("AbleToScale", False, "FailedUpdateScale", text)
            self._kit.recorder.warning(hpa, "FailedRescale", f"New size: {desired}; reason: {state.reason}; error: {error}")
            return
        now = self._kit.clock.now()
        text = f"the HPA controller was able to update the target scale to {desired}"
        state.condition("AbleToScale", True, "SucceededRescale", text)
        self._kit.recorder.normal(hpa, "SuccessfulRescale", f"New size: {desired}; reason: {state.reason}")
        self._past.setdefault(uid_of(hpa), plan.Past()).changes.append((now, desired - current))
        state.status["lastScaleTime"] = timestamp(now)

    async def _write(self, hpa: Object, status: Mapping[str, Any]) -> None:
        if status != status_of(hpa):
            await self._kit.client.update_status(HPAS, {**hpa, "status": dict(status)})


class _State:
    """The status while it is worked out."""

    def __init__(self, hpa: Object, kit: Kit) -> None:
        self.status = dict(status_of(hpa)) | {"observedGeneration": hpa["metadata"].get("generation")}
        self.status = {k: v for k, v in self.status.items() if v is not None}
        self.reason, self._kit = "", kit

    def condition(self, kind: str, state: bool, reason: str, message: str) -> None:
        """Set one condition."""
        new = {"type": kind, "status": "True" if state else "False", "reason": reason, "message": message}
        self.status["conditions"] = set_condition(self.status.get("conditions"), new, self._kit.clock.now())
