"""The gate that a pod's start and end wait for, structurally the one of the node agent's seam.

A pod is admitted when every proxy that sends to one of its services has acknowledged its endpoints, and withdrawn when every
proxy acknowledged that it drains and its last request there has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lateen.aio.clock import Clock
from lateen.aio.tasks import within
from lateen.errors import TransportError
from lateen.kube.meta import Object, labels_of, meta, uid_of
from lateen.kube.selectors import from_map
from lateen.traffic.envoy.supervisor import Proxy
from lateen.traffic.ir import PortKey
from lateen.traffic.members import Members
from lateen.traffic.translate.services import PROXY_LABEL, TRANSPORTS

if TYPE_CHECKING:
    from lateen.traffic.xds.hub import Hub
    from lateen.traffic.xds.resource import Name

Blocked = Callable[[str, str], None]
# An acknowledgement comes from the proxy's main thread; its workers follow within this time.
WORKERS_FOLLOW = 0.01
_POLL_FIRST, _POLL_MOST = 0.005, 0.1
_SAY_AFTER = 1.0
# A pod that is the last one of its service keeps serving while another one is on its way; looked at this often.
_REPLACEMENT_AFTER = 0.25


class TrafficGate:
    """``services`` and ``pods`` give the objects of a namespace; ``release(uid)`` makes a terminating pod drain even though no
    other endpoint is left."""

    def __init__(
        self,
        *,
        hub: Hub,
        members: Members,
        proxies: Mapping[str, Proxy],
        services: Callable[[str], Iterable[Object]],
        pods: Callable[[str], Iterable[Object]],
        release: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._hub, self._members, self._proxies = hub, members, proxies
        self._services, self._pods, self._release, self._clock = services, pods, release, clock

    async def admit(self, pod: Object, blocked: Blocked) -> None:
        """Return once the pod receives traffic from every proxy that shall send it some; at once if there is none."""
        said, patient = ("", ""), False
        while True:
            ports = dict(self._ports(pod))
            problem = next(self._missing(pod, ports), None)
            if problem is None:
                return
            if problem != said and (patient or not problem[0].startswith("Waiting")):
                said = problem
                blocked(*problem)
            try:
                await within(_SAY_AFTER, self._hub.news(self._names(ports)))
            except TimeoutError:
                patient = True

    def _ports(self, pod: Object) -> Iterator[tuple[PortKey, bool]]:
        """Service ports that the pod must become a member of, and whether they have an address of their own."""
        namespace, labels = meta(pod).get("namespace", ""), labels_of(pod)
        named = {p.get("name") for c in pod["spec"].get("containers") or () for p in c.get("ports") or ()}
        for service in self._services(namespace):
            spec = service.get("spec") or {}
            if (
                spec.get("type") == "ExternalName"
                or PROXY_LABEL in labels_of(service)
                or not from_map(spec.get("selector"))(labels)
            ):
                continue
            for port in spec.get("ports") or ():
                target = port.get("targetPort")
                transport = TRANSPORTS.get(port.get("protocol") or "TCP")
                if transport is not None and (not isinstance(target, str) or target in named):
                    yield (
                        PortKey(namespace, meta(service)["name"], int(port["port"]), transport),
                        spec.get("clusterIP") not in (None, "", "None"),
                    )

    def _names(self, ports: Iterable[PortKey]) -> list[Name]:
        return [name for port in ports for _, name in self._resources(port)]

    def _resources(self, port: PortKey) -> Iterator[tuple[str, Name]]:
        """What a port is in each group: cluster and endpoints, in the mesh also listener and routes."""
        from lateen.traffic.xds.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Name

        for group in self._hub.caches:
            yield group, Name(CLUSTER, str(port))
            yield group, Name(ENDPOINTS, str(port))
            yield group, Name(LISTENER, f"service/{port}")
            yield group, Name(ROUTES, f"service/{port}")

    def _missing(self, pod: Object, ports: Mapping[PortKey, bool]) -> Iterator[tuple[str, str]]:
        """(reason, message) of everything that still stands between the pod and its traffic."""
        from lateen.traffic.xds.resource import ENDPOINTS

        for port, addressed in ports.items():
            used = [(g, n) for g, n in self._resources(port) if self._hub.caches[g].get(n) is not None]
            member = self._members.get(port, uid_of(pod))
            for group, name in used:
                if not self._hub.connected(group):
                    yield "ProxyDown", f"the {group} proxy is not connected: {self._proxies[group].problem or 'it is starting'}"
                if words := self._hub.refusal(group, name):
                    yield "Nack", f"the {group} proxy refused {name.name}: {words}"
            if (used or addressed) and (member is None or member.draining):
                yield "WaitingForEndpoint", f"no EndpointSlice of Service {port.name} offers the pod yet"
            elif member is not None:
                for group, name in used:
                    if not self._hub.reached(group, name, member.since[group] if name.type == ENDPOINTS else 0):
                        yield "WaitingForProxy", f"the {group} proxy has not acknowledged {name.name} yet"

    async def withdraw(self, pod: Object) -> None:
        """Return once no proxy sends anything to the pod any more and its last request has ended. The caller bounds it."""
        uid = uid_of(pod)
        places: dict[PortKey, str] = {}
        while True:
            for port in self._members.ports_of(uid):
                if (member := self._members.get(port, uid)) is not None:
                    places[port] = f"{member.endpoint.address}:{member.endpoint.port}"
            if not places:
                return
            if all(self._left(port, uid) for port in places):
                break
            try:
                await within(_REPLACEMENT_AFTER, self._hub.news(self._names(places)))
            except TimeoutError:
                if not self._replaced(pod, places):
                    self._release(uid)
        await self._clock.sleep(WORKERS_FOLLOW)
        await self._idle({(str(port), place) for port, place in places.items()})

    def _replaced(self, pod: Object, ports: Iterable[PortKey]) -> bool:
        """Whether each service still has, or soon will have, another pod: until then this one is its last resort."""
        namespace = meta(pod).get("namespace", "")
        others = [labels_of(p) for p in self._pods(namespace) if uid_of(p) != uid_of(pod) and _stays(p)]
        wanted = {port.name for port in ports}
        chosen = [from_map(s["spec"].get("selector")) for s in self._services(namespace) if meta(s)["name"] in wanted]
        return all(any(selects(labels) for labels in others) for selects in chosen)

    def _left(self, port: PortKey, uid: str) -> bool:
        """Whether every proxy that may still carry traffic has acknowledged that the pod drains or is gone."""
        from lateen.traffic.xds.resource import ENDPOINTS, Name

        name, member = Name(ENDPOINTS, str(port)), self._members.get(port, uid)
        if member is not None and not member.draining:
            return False
        for group, proxy in self._proxies.items():
            if self._hub.caches[group].get(name) is None:
                continue
            if not self._hub.connected(group):
                if proxy.alive:  # it carries traffic with what it knew before
                    return False
            elif member is None:
                if not self._hub.has(group, name):
                    return False
            elif not self._hub.reached(group, name, member.since[group]):
                return False
        return True

    async def _idle(self, places: set[tuple[str, str]]) -> None:
        """Return once no proxy has a request under way to any of ``places`` (cluster, address:port)."""
        delay = _POLL_FIRST
        while await self._active(places):
            await self._clock.sleep(delay)
            delay = min(delay * 1.5, _POLL_MOST)

    async def _active(self, places: set[tuple[str, str]]) -> int:
        clusters = {cluster for cluster, _ in places}
        total = 0
        for proxy in self._proxies.values():
            if not proxy.alive:
                continue
            try:
                found: Mapping[Any, int] = await proxy.admin.active(clusters)
            except TransportError:
                if proxy.alive:
                    total += 1  # nothing is known: it may be busy
                continue
            total += sum(found.get(place, 0) for place in places)
        return total


def _stays(pod: Object) -> bool:
    """Whether the pod is, or will be, able to serve."""
    finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not finished and not meta(pod).get("deletionTimestamp")
