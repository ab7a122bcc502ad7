"""Statuses of Gateway API objects as they shall be written, and the writer. ``Programmed`` is what the proxies acknowledged.

``desired_*`` are pure; StatusWriter carries them out, only when something differs, and never touches what other controllers wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lateen.aio.clock import Clock
from lateen.aio.queue import WorkQueue
from lateen.client.client import Client
from lateen.client.informer import Informer
from lateen.errors import ApiError, LateenError, NotFoundError
from lateen.kube.meta import Key, Object, meta, set_condition
from lateen.kube.resources import Resource
from lateen.traffic.translate.conditions import (
    CONTROLLER,
    GROUP,
    Condition,
    GatewayPlace,
    GatewayStatus,
    ListenerStatus,
    Place,
    RouteStatus,
    worst,
)

log = logging.getLogger(__name__)
Programmed = Callable[[Place], Condition]
PROGRAMMED = "Programmed"
ROUTE_PROGRAMMED = "lateen.dev/Programmed"


def _written(old: Sequence[Mapping[str, Any]], new: Iterable[Condition], generation: int, now: datetime) -> list[dict[str, Any]]:
    """``new`` with the times that ``old`` had where nothing changed."""
    result: list[dict[str, Any]] = [dict(c) for c in old]
    for condition in new:
        result = set_condition(result, condition.written(generation), now)
    wanted = {c.type for c in new}
    return [c for c in result if c["type"] in wanted]


def desired_class(obj: Object, now: datetime) -> dict[str, Any]:
    """The status of an accepted GatewayClass."""
    old = (obj.get("status") or {}).get("conditions") or ()
    accepted = Condition("Accepted", True, "Accepted", "lateen carries out Gateways of this class")
    features = [{"name": n} for n in SUPPORTED_FEATURES]
    return {"conditions": _written(old, (accepted,), meta(obj).get("generation", 0), now), "supportedFeatures": features}


SUPPORTED_FEATURES = (
    "GRPCRoute",
    "Gateway",
    "GatewayHTTPListenerIsolation",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
    "ReferenceGrant",
)


def desired_gateway(obj: Object, wanted: GatewayStatus, programmed: Programmed, now: datetime) -> dict[str, Any]:
    """The status of a Gateway."""
    key = Key(meta(obj)["namespace"], meta(obj)["name"])
    old = obj.get("status") or {}
    known = {entry["name"]: entry.get("conditions") or () for entry in old.get("listeners") or ()}
    places = {at.name: _listener_programmed(key, at, programmed) for at in wanted.listeners}
    bound = [places[at.name] for at in wanted.listeners if at.bound]
    whole = worst(bound) or Condition(PROGRAMMED, bool(bound), "Programmed" if bound else "Invalid")
    urls = [{"type": f"lateen.dev/{u.partition(':')[0]}", "value": u} for u in wanted.urls]
    return {
        "addresses": [{"type": "IPAddress", "value": wanted.address}, *urls] if wanted.urls else [],
        "conditions": _written(old.get("conditions") or (), (*wanted.conditions, whole), wanted.generation, now),
        "listeners": [
            {
                "name": at.name,
                "attachedRoutes": at.attached,
                "supportedKinds": [{"group": GROUP, "kind": k} for k in at.kinds],
                "conditions": _written(known.get(at.name, ()), (*at.conditions, places[at.name]), wanted.generation, now),
            }
            for at in wanted.listeners
        ],
    }


def _listener_programmed(gateway: Key, listener: ListenerStatus, programmed: Programmed) -> Condition:
    if not listener.bound:
        return Condition(PROGRAMMED, False, "Invalid", "the listener is not valid")
    return programmed(GatewayPlace(gateway, listener.port))


def desired_route(obj: Object, wanted: RouteStatus, programmed: Programmed, now: datetime) -> dict[str, Any]:
    """The status of a route: the parents of other controllers as they are, then ours."""
    parents = (obj.get("status") or {}).get("parents") or ()
    known = {_ref(p["parentRef"]): p.get("conditions") or () for p in parents if p["controllerName"] == CONTROLLER}
    mine = []
    for parent in wanted.parents:
        live = [programmed(place) for place in parent.places]
        state = worst(live) or Condition(PROGRAMMED, bool(live), "Programmed" if live else "Invalid")
        conditions = (*parent.conditions, state._replace(type=ROUTE_PROGRAMMED))
        mine.append(
            {
                "parentRef": parent.ref,
                "controllerName": CONTROLLER,
                "conditions": _written(known.get(_ref(parent.ref), ()), conditions, wanted.generation, now),
            }
        )
    return {"parents": [*(p for p in parents if p["controllerName"] != CONTROLLER), *mine]}


def _ref(ref: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, str(v)) for k, v in ref.items()))


Desired = Callable[[Object], dict[str, Any] | None]


class StatusWriter:
    """Writes statuses of objects that were ``add``-ed, from informers and functions that say what they shall be."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._kinds: dict[Resource, tuple[Informer, Desired]] = {}
        self.queue: WorkQueue[tuple[Resource, Key]] = WorkQueue(clock)

    def register(self, resource: Resource, informer: Informer, desired: Desired) -> None:
        """``desired(object)`` gives the status to have, None to leave it."""
        self._kinds[resource] = (informer, desired)

    def add(self, resource: Resource, keys: Iterable[Key]) -> None:
        """Look at these again."""
        for key in keys:
            self.queue.add((resource, key))

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            item = await self.queue.get()
            try:
                await self._write(*item)
                self.queue.forget(item)
            except NotFoundError:
                self.queue.forget(item)
            except ApiError as error:
                log.debug("status of %s %s: %s", item[0].kind, item[1], error)
                self.queue.retry(item)
            except LateenError as error:
                log.warning("status of %s %s: %s", item[0].kind, item[1], error)
                self.queue.retry(item)
            finally:
                self.queue.done(item)

    async def _write(self, resource: Resource, key: Key) -> None:
        informer, desired = self._kinds[resource]
        obj = informer.get(key)
        status = desired(obj) if obj is not None else None
        if obj is None or status is None or _same(obj.get("status") or {}, status):
            return
        # The version makes it conditional: lists are replaced whole, and parents of others are among them.
        patch = {"metadata": {"resourceVersion": meta(obj)["resourceVersion"]}, "status": status}
        await self._client.patch(resource, key.name, patch, namespace=key.namespace, subresource="status")


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return all(old.get(k) == v for k, v in new.items())
