"""Put the Gateway API's kinds and the classes ``lateen`` (of Gateways and of Ingresses) into the cluster. Called once, when
traffic starts."""

from __future__ import annotations

import logging

from lateen.aio.clock import Clock
from lateen.client.client import Client
from lateen.errors import AlreadyExistsError, ApiError
from lateen.kube.meta import Object, meta
from lateen.kube.resources import (
    CRDS,
    GATEWAYCLASSES,
    GATEWAYS,
    GRPCROUTES,
    HTTPROUTES,
    INGRESSCLASSES,
    REFERENCEGRANTS,
    Resource,
)
from lateen.traffic.crds import crds
from lateen.traffic.translate import ingress
from lateen.traffic.translate.conditions import CONTROLLER

log = logging.getLogger(__name__)
GATEWAY_CLASS = "lateen"
_WATCHED = (GATEWAYCLASSES, GATEWAYS, HTTPROUTES, GRPCROUTES, REFERENCEGRANTS)
_PATIENCE, _STEP = 10.0, 0.02


async def install(client: Client, clock: Clock) -> bool:
    """Install or update what is missing; whether the kinds are served (without them there are Services and Ingresses only)."""
    await _ingress_class(client)
    for crd in crds():
        await _put(client, CRDS, crd)
    if not await _served(client, clock):
        log.error("the Gateway API's kinds are not served: there will be no gateways")
        return False
    spec = {"controllerName": CONTROLLER, "description": "The edge proxy of the embedded cluster."}
    kind = {"apiVersion": GATEWAYCLASSES.api_version, "kind": "GatewayClass", "metadata": {"name": GATEWAY_CLASS}, "spec": spec}
    await _put(client, GATEWAYCLASSES, kind)
    return True


async def _ingress_class(client: Client) -> None:
    """What is there is left as it is: whether it is the default class is the user's business."""
    name = {"name": GATEWAY_CLASS, "annotations": {ingress.DEFAULT_CLASS: "true"}}
    kind = {"apiVersion": INGRESSCLASSES.api_version, "kind": "IngressClass", "metadata": name}
    try:
        await client.create(INGRESSCLASSES, {**kind, "spec": {"controller": ingress.CONTROLLER}})
    except AlreadyExistsError:
        pass


async def _put(client: Client, resource: Resource, obj: Object) -> None:
    """Create, or bring to the same intent. Somebody's newer bundle is left alone."""
    try:
        await client.create(resource, obj)
    except AlreadyExistsError:
        known = await client.get(resource, meta(obj)["name"])
        if _bundle(known) <= _bundle(obj) and known["spec"] != obj["spec"]:
            await client.patch(resource, meta(obj)["name"], {"spec": obj["spec"]})


def _bundle(obj: Object) -> tuple[int, ...]:
    version = (meta(obj).get("annotations") or {}).get("gateway.networking.k8s.io/bundle-version", "v0")
    return tuple(int(n) for n in version.removeprefix("v").split("-")[0].split(".") if n.isdigit())


async def _served(client: Client, clock: Clock) -> bool:
    deadline = clock.monotonic() + _PATIENCE
    while True:
        try:
            for resource in _WATCHED:
                await client.list(resource, limit=1)
            return True
        except ApiError as error:
            if clock.monotonic() > deadline:
                log.warning("%s", error)
                return False
        await clock.sleep(_STEP)
