"""Endpoints (core/v1): the old form of what EndpointSlices say, which many clients still read."""

from __future__ import annotations

from typing import Any

from lateen.cluster.controllers.endpointslice import endpoint_changed, has_address, target_ports
from lateen.cluster.controllers.kit import Kit, pod_ready, spec_of, status_of
from lateen.cluster.controllers.selecting import PodsByLabels, Selecting, of_service
from lateen.errors import AlreadyExistsError
from lateen.kube.meta import Key, Object, annotations_of, key_of, labels_of, meta, uid_of
from lateen.kube.resources import ENDPOINTS, PODS, SERVICES
from lateen.reconcile import DONE, Controller, Result, Source

LIMIT = 1000
OVER = "endpoints.kubernetes.io/over-capacity"


def controller(kit: Kit) -> Controller:
    """The controller, fed by Services and pods; it may lag a little, nothing waits for it."""
    services = kit.informer(SERVICES)

    selecting = Selecting(services, "endpoints", of_service)

    return Controller(
        name="endpoints",
        reconciler=EndpointsReconciler(kit),
        sources=[
            Source(informer=services),
            Source(informer=kit.informer(PODS), keys=selecting.keys, predicate=endpoint_changed, delay=0.5),
        ],
        clock=kit.clock,
        workers=2,
    )


class EndpointsReconciler:
    """One Service's Endpoints."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._services, self._endpoints = kit.informer(SERVICES), kit.informer(ENDPOINTS)
        self._pods = PodsByLabels(kit.informer(PODS))

    async def reconcile(self, key: Key) -> Result:
        service, old = self._services.get(key), self._endpoints.get(key)
        if service is None:
            if old is not None and "endpoints.kubernetes.io/managed-by" in labels_of(old):
                await self._kit.client.delete(ENDPOINTS, key.name, key.namespace)
            return DONE
        if not spec_of(service).get("selector") or spec_of(service).get("type") == "ExternalName":
            return DONE
        pods = [p for p in self._pods.selected(key.namespace, of_service(service)) if has_address(p)]
        wanted = subsets(service, pods)
        labels = labels_of(service) | {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        if spec_of(service).get("clusterIP") == "None":
            labels["service.kubernetes.io/headless"] = ""
        notes = {OVER: "truncated"} if len(pods) > LIMIT else {}
        if old is not None:
            kept = {k: v for k, v in annotations_of(old).items() if k != OVER} | notes
            if (old.get("subsets") or []) != wanted or labels_of(old) != labels or annotations_of(old) != kept:
                metadata = {**meta(old), "labels": labels, "annotations": kept}
                await self._kit.client.update(ENDPOINTS, {**old, "metadata": metadata, "subsets": wanted})
            return DONE
        metadata = {"name": key.name, "namespace": key.namespace, "labels": labels, "annotations": notes}
        try:
            await self._kit.client.create(
                ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": wanted}
            )
        except AlreadyExistsError:
            return Result(0.05)
        return DONE


def subsets(service: Object, pods: list[Object]) -> list[dict[str, Any]]:
    """Addresses grouped by their ports; pods on their way out are left out, as Kubernetes does."""
    groups: dict[str, dict[str, Any]] = {}
    for pod in sorted(pods, key=key_of)[:LIMIT]:
        if meta(pod).get("deletionTimestamp"):
            continue
        ports = target_ports(service, pod)
        group = groups.setdefault(repr(ports), {"addresses": [], "notReadyAddresses": [], "ports": ports})
        ready = pod_ready(pod) or bool(spec_of(service).get("publishNotReadyAddresses"))
        group["addresses" if ready else "notReadyAddresses"].append(_address(pod))
    return [{k: v for k, v in g.items() if v} for g in groups.values()]


def _address(pod: Object) -> dict[str, Any]:
    key = key_of(pod)
    reference = {"kind": "Pod", "name": key.name, "namespace": key.namespace, "uid": uid_of(pod)}
    return {"ip": status_of(pod)["podIP"], "nodeName": spec_of(pod).get("nodeName", ""), "targetRef": reference}
