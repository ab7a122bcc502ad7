"""EndpointSlices: the addresses behind each Service, and what may be sent to them.

``serving`` follows ContainersReady, ``ready`` follows Ready: between the two stands the data plane's acknowledgement
(docs/architecture.md). A pod on its way out stays, as ``terminating``, until it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lateen.cluster.controllers.kit import Kit, pod_ready, spec_of, status_of
from lateen.cluster.controllers.selecting import PodsByLabels, Selecting, of_service
from lateen.kube.meta import Key, Object, condition_true, key_of, labels_of, meta, owner_reference, uid_of
from lateen.kube.resources import ENDPOINTSLICES, NODES, PODS, SERVICES
from lateen.reconcile import DONE, Controller, Result, Source

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
LIMIT = 100
PACE = 0.01  # seconds between two looks at a service, for each slice beyond the first: a large one changes in larger steps


def controller(kit: Kit) -> Controller:
    """The controller, fed by Services, pods and its own slices."""
    services = kit.informer(SERVICES)

    selecting = Selecting(services, "endpointslice", of_service)

    def of_slice(found: Object) -> Iterable[Key]:
        name = labels_of(found).get(SERVICE_NAME)
        return (Key(key_of(found).namespace, name),) if name and labels_of(found).get(MANAGED_BY) == MANAGER else ()

    return Controller(
        name="endpointslice",
        reconciler=EndpointSliceReconciler(kit),
        sources=[
            Source(informer=services),
            Source(informer=kit.informer(PODS), keys=selecting.keys, predicate=endpoint_changed, delay=0.002),
            Source(informer=kit.informer(ENDPOINTSLICES), keys=of_slice, predicate=lambda _, new: new is None),
        ],
        clock=kit.clock,
        workers=8,
    )


def endpoint_changed(old: Object | None, new: Object | None) -> bool:
    """Whether a pod's change can matter to an endpoint."""
    if old is None or new is None:
        return True
    return _facts(old) != _facts(new) or labels_of(old) != labels_of(new)


def _facts(pod: Object) -> tuple[Any, ...]:
    deleting = bool(meta(pod).get("deletionTimestamp"))
    status = status_of(pod)
    return status.get("podIP"), pod_ready(pod), condition_true(pod, "ContainersReady"), deleting, status.get("phase")


class EndpointSliceReconciler:
    """One Service's slices: one set per distinct list of target ports, changed as little as possible."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._services, self._pods = kit.informer(SERVICES), PodsByLabels(kit.informer(PODS))
        self._slices, self._nodes = kit.informer(ENDPOINTSLICES), kit.informer(NODES)
        self._slices.add_index(SERVICE_NAME, _service_of)
        self._looked: dict[Key, float] = {}

    async def reconcile(self, key: Key) -> Result:
        service = self._services.get(key)
        if service is None:
            self._looked.pop(key, None)
            return DONE
        if not spec_of(service).get("selector") or spec_of(service).get("type") == "ExternalName":
            return DONE
        existing = [
            s
            for s in self._slices.by_index(SERVICE_NAME, str(key))
            if labels_of(s).get(MANAGED_BY) == MANAGER and not meta(s).get("deletionTimestamp")
        ]
        now = self._kit.clock.monotonic()
        early = self._looked.get(key, 0.0) + PACE * (len(existing) - 1) - now
        if early > 0:
            return Result(early)
        self._looked[key] = now
        wanted = plan(service, self._behind(service), existing, self._zone)
        await self._write(service, existing, wanted)
        return DONE

    def _behind(self, service: Object) -> list[Object]:
        return [p for p in self._pods.selected(key_of(service).namespace, of_service(service)) if has_address(p)]

    def _zone(self, node: str) -> str:
        found = self._nodes.get(Key("", node))
        return labels_of(found).get("topology.kubernetes.io/zone", "") if found else ""

    async def _write(self, service: Object, existing: Sequence[Object], wanted: Sequence[Object]) -> None:
        by_name = {meta(s)["name"]: s for s in existing}
        for new in wanted:
            old = by_name.pop(meta(new).get("name", ""), None)
            if old is None:
                await self._kit.client.create(ENDPOINTSLICES, new)
            elif any(old.get(f) != new.get(f) for f in ("endpoints", "ports")) or labels_of(old) != labels_of(new):
                metadata = {**meta(old), "labels": labels_of(new)}
                await self._kit.client.update(ENDPOINTSLICES, {**old, **new, "metadata": metadata})
        for stale in by_name.values():
            await self._kit.client.delete(ENDPOINTSLICES, meta(stale)["name"], key_of(service).namespace)


def _service_of(found: Object) -> Iterable[str]:
    name = labels_of(found).get(SERVICE_NAME)
    return (str(Key(key_of(found).namespace, name)),) if name else ()


def has_address(pod: Object) -> bool:
    """Whether a pod is an endpoint at all."""
    status = status_of(pod)
    return bool(status.get("podIP")) and status.get("phase") not in ("Succeeded", "Failed")


def plan(service: Object, pods: Iterable[Object], existing: Sequence[Object], zone_of: Any) -> list[Object]:
    """The slices that should be. Endpoints stay in the slice that has them; a new slice has no name yet."""
    groups: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
    for pod in sorted(pods, key=lambda p: key_of(p)):
        ports = target_ports(service, pod)
        if ports or not spec_of(service).get("ports"):
            groups.setdefault(repr(ports), (ports, []))[1].append(endpoint(service, pod, zone_of))
    if not groups:
        groups[""] = ([], [])
    result: list[Object] = []
    for ports, endpoints in groups.values():
        kept = [s for s in existing if (s.get("ports") or []) == ports or (not ports and not endpoints)]
        result += _packed(service, ports, endpoints, kept)
    return result


def _packed(service: Object, ports: list[dict[str, Any]], endpoints: list[dict[str, Any]], kept: Sequence[Object]) -> list[Object]:
    by_uid = {e["targetRef"]["uid"]: e for e in endpoints}
    slices = []
    for old in kept:
        present = [by_uid.pop(u) for e in old.get("endpoints") or () if (u := (e.get("targetRef") or {}).get("uid")) in by_uid]
        slices.append((meta(old)["name"], present))
    fresh = list(by_uid.values())
    for _, present in slices:
        while fresh and len(present) < LIMIT:
            present.append(fresh.pop(0))
    slices += [("", list(batch)) for batch in batches(fresh)]
    filled = [s for s in slices if s[1]] or slices[:1] or [("", [])]
    return [slice_object(service, name, ports, present) for name, present in filled]


def batches(items: list[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """``items`` in pieces of LIMIT."""
    return [items[i : i + LIMIT] for i in range(0, len(items), LIMIT)]


def slice_object(service: Object, name: str, ports: Sequence[Any], endpoints: Sequence[Any]) -> Object:
    """One EndpointSlice."""
    key = key_of(service)
    labels = labels_of(service) | {SERVICE_NAME: key.name, MANAGED_BY: MANAGER}
    if spec_of(service).get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    metadata: dict[str, Any] = {"namespace": key.namespace, "labels": labels, "ownerReferences": [owner_reference(service)]}
    metadata |= {"name": name} if name else {"generateName": f"{key.name}-"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": list(ports),
    }


def endpoint(service: Object, pod: Object, zone_of: Any) -> dict[str, Any]:
    """One pod as an endpoint of the service."""
    terminating = bool(meta(pod).get("deletionTimestamp"))
    published = bool(spec_of(service).get("publishNotReadyAddresses"))
    node = spec_of(pod).get("nodeName")
    result: dict[str, Any] = {
        "addresses": [status_of(pod)["podIP"]],
        "conditions": {
            "ready": published or (pod_ready(pod) and not terminating),
            "serving": condition_true(pod, "ContainersReady"),
            "terminating": terminating,
        },
        "targetRef": {"kind": "Pod", "name": key_of(pod).name, "namespace": key_of(pod).namespace, "uid": uid_of(pod)},
    }
    if node:
        result["nodeName"] = node
        if zone := zone_of(node):
            result["zone"] = zone
    if spec_of(pod).get("hostname") and spec_of(pod).get("subdomain") == key_of(service).name:
        result["hostname"] = spec_of(pod)["hostname"]
    return result


def target_ports(service: Object, pod: Object) -> list[dict[str, Any]]:
    """The service's ports as they are on this pod; a named target that the pod does not have is left out."""
    named = {
        (p.get("name"), p.get("protocol", "TCP")): p["containerPort"]
        for c in spec_of(pod).get("containers") or ()
        for p in c.get("ports") or ()
        if p.get("name")
    }
    result = []
    for port in spec_of(service).get("ports") or ():
        protocol = port.get("protocol", "TCP")
        target = port.get("targetPort") or port["port"]
        number = named.get((target, protocol)) if isinstance(target, str) else target
        if number is not None:
            found = {"name": port.get("name", ""), "port": number, "protocol": protocol}
            result.append(found | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {}))
    return result
