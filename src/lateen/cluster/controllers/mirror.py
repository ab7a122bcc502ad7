"""EndpointSlices that mirror Endpoints which somebody wrote for a Service without selector: what traffic reads is slices.

Follows kube-controller-manager's endpointslicemirroring. What ``endpoints`` wrote is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from lateen.cluster.controllers.endpointslice import MANAGED_BY, SERVICE_NAME, batches
from lateen.cluster.controllers.kit import Kit, spec_of
from lateen.kube.meta import Key, Object, annotations_of, key_of, labels_of, meta, owner_reference
from lateen.kube.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES
from lateen.reconcile import DONE, Controller, Result, Source

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP, LEADER = "endpointslice.kubernetes.io/skip-mirror", "control-plane.alpha.kubernetes.io/leader"
LIMIT = 1000  # addresses of a subset that are mirrored
_BY_SERVICE = "mirror-of"
_PRIVATE = ("kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time")


def controller(kit: Kit) -> Controller:
    """The controller, fed by Endpoints, Services and its own slices."""
    slices = kit.informer(ENDPOINTSLICES)
    own = Source(informer=slices, keys=lambda s: (Key(key_of(s).namespace, labels_of(s)[SERVICE_NAME]),) if _is_ours(s) else ())
    return Controller(
        name="endpointslicemirroring",
        reconciler=MirrorReconciler(kit),
        sources=[Source(informer=kit.informer(ENDPOINTS)), Source(informer=kit.informer(SERVICES)), own],
        clock=kit.clock,
    )


def _is_ours(found: Object) -> bool:
    return labels_of(found).get(MANAGED_BY) == MANAGER and SERVICE_NAME in labels_of(found)


class MirrorReconciler:
    """One Endpoints object's slices."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._endpoints, self._services, self._slices = (kit.informer(r) for r in (ENDPOINTS, SERVICES, ENDPOINTSLICES))
        self._slices.add_index(
            _BY_SERVICE, lambda s: (f"{key_of(s).namespace}/{labels_of(s)[SERVICE_NAME]}",) if _is_ours(s) else ()
        )

    async def reconcile(self, key: Key) -> Result:
        existing = self._slices.by_index(_BY_SERVICE, f"{key.namespace}/{key.name}")
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        wanted = plan(endpoints) if endpoints is not None and mirrored(endpoints, service) else []
        left = [s for s in existing if not meta(s).get("deletionTimestamp")]
        for new in wanted:
            old = next((s for s in left if _body(s) == _body(new)), None)
            if old is not None:
                left.remove(old)
            elif (old := next((s for s in left if s["addressType"] == new["addressType"]), None)) is not None:
                left.remove(old)
                metadata = {**meta(old), "labels": meta(new)["labels"], "annotations": meta(new)["annotations"]}
                await self._kit.client.update(ENDPOINTSLICES, {**old, **new, "metadata": metadata})
            else:
                await self._kit.client.create(ENDPOINTSLICES, new)
        for stale in left:
            await self._kit.client.delete(ENDPOINTSLICES, meta(stale)["name"], key.namespace)
        return DONE


def mirrored(endpoints: Object, service: Object | None) -> bool:
    """Whether anybody needs the mirror: a Service without selector, and nobody said no."""
    if service is None or spec_of(service).get("selector") or meta(endpoints).get("deletionTimestamp"):
        return False
    return labels_of(endpoints).get(SKIP) != "true" and LEADER not in annotations_of(endpoints)


def _body(found: Object) -> tuple[Any, ...]:
    parts = (found["addressType"], found.get("endpoints") or [], found.get("ports") or [], labels_of(found), annotations_of(found))
    return tuple(parts)


def plan(endpoints: Object) -> list[Object]:
    """The slices that say what ``endpoints`` says: one set per subset and address family."""
    slices = []
    for subset in endpoints.get("subsets") or ():
        found = list(_endpoints(subset))[:LIMIT]
        ports = [{"name": "", "protocol": "TCP"} | p for p in subset.get("ports") or ()]
        for version in (4, 6):
            family = [e for e in found if ip_address(e["addresses"][0]).version == version]
            slices += [_slice(endpoints, f"IPv{version}", ports, part) for part in batches(family)]
    return slices


def _endpoints(subset: Object) -> Iterable[dict[str, Any]]:
    for field, ready in (("addresses", True), ("notReadyAddresses", False)):
        for address in subset.get(field) or ():
            optional = {k: address[k] for k in ("hostname", "nodeName", "targetRef") if address.get(k)}
            yield {"addresses": [address["ip"]], "conditions": {"ready": ready}, **optional}


def _slice(endpoints: Object, family: str, ports: Sequence[Any], found: Sequence[Any]) -> Object:
    key = key_of(endpoints)
    metadata = {
        "namespace": key.namespace,
        "generateName": f"{key.name}-",
        "labels": labels_of(endpoints) | {SERVICE_NAME: key.name, MANAGED_BY: MANAGER},
        "annotations": {k: v for k, v in annotations_of(endpoints).items() if k not in _PRIVATE},
        "ownerReferences": [owner_reference(endpoints)],
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "endpoints": list(found),
        "ports": list(ports),
    }
