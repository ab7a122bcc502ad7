"""Traffic: watches the API, keeps the snapshot, offers it to the proxies, writes back what they acknowledged.

The server composes it: ``start`` returns once the proxies are offered everything; ``gate`` is what pods wait for. An endpoint
change costs the translation of one service; Gateway API objects are translated all together, when one of them changed.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner
from lateen.client.client import Client
from lateen.client.informer import Informer, InformerSet
from lateen.kube.meta import Key, Object, annotations_of, key_of, labels_of, meta, set_condition
from lateen.kube.resources import (
    ENDPOINTSLICES,
    GATEWAYCLASSES,
    GATEWAYS,
    GRPCROUTES,
    HTTPROUTES,
    INGRESSCLASSES,
    INGRESSES,
    NAMESPACES,
    PODS,
    REFERENCEGRANTS,
    SECRETS,
    SERVICES,
    Resource,
)
from lateen.reconcile.events import Recorder
from lateen.traffic.envoy.binary import envoy_binary
from lateen.traffic.envoy.bootstrap import ProxySpec
from lateen.traffic.envoy.supervisor import ProcessHost, Proxy
from lateen.traffic.gate import TrafficGate
from lateen.traffic.ingresses import Ingresses
from lateen.traffic.install import install
from lateen.traffic.ir import PortKey, Service, Snapshot
from lateen.traffic.members import Members
from lateen.traffic.settings import TrafficSettings
from lateen.traffic.statuses import PROGRAMMED, StatusWriter, desired_class, desired_gateway, desired_route
from lateen.traffic.translate.conditions import Condition, Place
from lateen.traffic.translate.gateways import Places, Translated, World, translate_gateways
from lateen.traffic.translate.ingress import ingress_address, translate_ingresses
from lateen.traffic.translate.references import References, grants
from lateen.traffic.translate.services import SERVICE_LABEL, balancer_address, open_outside, through_doors, translate_service

if TYPE_CHECKING:
    from lateen.traffic.xds.compile import Compiler
    from lateen.traffic.xds.hub import Hub
    from lateen.traffic.xds.server import XdsServer

log = logging.getLogger(__name__)
_GROUPS, _BORDER = ("mesh", "edge"), "border"
_RULES = (GATEWAYCLASSES, GATEWAYS, HTTPROUTES, GRPCROUTES, REFERENCEGRANTS, NAMESPACES)
# A service with many endpoints is translated at most this often (seconds per endpoint), or a burst of 1,000 pods starts costs
# a million encodings.
_PACE = 50e-6
_PACE_FROM = 50
_REFUSED_AGAIN = 2.0


class Traffic:
    """``informers`` must be running. ``host`` owns the proxies (the ``system`` shim)."""

    def __init__(self, client: Client, informers: InformerSet, host: ProcessHost, settings: TrafficSettings, clock: Clock) -> None:
        self._client, self._settings, self._clock = client, settings, clock
        self._owner = TaskOwner("traffic")
        self._snapshot, self._translated, self._written = Snapshot(), Translated(), Translated()
        self._members, self._released = Members(), set[str]()
        self._dirty: dict[Key, None] = {}
        self._rules_dirty, self._ready = True, False
        self._changed = asyncio.Event()
        self._paced: dict[Key, float] = {}
        self._unsettled: set[tuple[Any, Key]] = set()
        self._refused_services: set[Key] = set()
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINTSLICES)
        self._pods = informers.informer(PODS)
        self._informers = informers
        self._rules: dict[Any, Informer] = {}
        self._statuses = StatusWriter(client, clock)
        self._recorder = Recorder(client, clock, component="lateen-traffic")
        self._places = Places(
            address=settings.gateway_address,
            ports=settings.gateway_ports,
            network=settings.gateway_network,
            unprivileged_start=settings.unprivileged_start,
        )
        self._ingresses = Ingresses(self._recorder, ingress_address(self._places))
        self.proxies = {
            g: Proxy(self._spec(g), host, clock, self._proxies_changed)
            for g in (*_GROUPS, *((_BORDER,) if settings.within else ()))
        }
        self._hub: Hub
        self._compiler: Compiler
        self._server: XdsServer
        self.gate: TrafficGate

    def _spec(self, group: str) -> ProxySpec:
        s = self._settings
        return ProxySpec(
            group=group,
            binary=s.binary or envoy_binary(),
            folder=s.folder,
            xds=s.socket("xds"),
            admin=s.socket(group),
            concurrency=s.concurrency,
            within=s.within if s.within and group != _BORDER else lambda: 0,
        )

    async def start(self) -> None:
        """Start or adopt the proxies and offer them everything. Returns once they are offered it; ``gate`` is there then."""
        for proxy in self.proxies.values():
            self._owner.start(proxy.run(), proxy.spec.id)
        await asyncio.to_thread(_import)
        from lateen.traffic.xds.compile import Compiler
        from lateen.traffic.xds.hub import Hub
        from lateen.traffic.xds.server import XdsServer

        self._hub, self._compiler = Hub(), Compiler(str(self._settings.socket("gw")) if self._settings.within else "")
        self._server = XdsServer(self._hub, self._settings.socket("xds"))
        self.gate = TrafficGate(
            hub=self._hub,
            members=self._members,
            proxies={g: self.proxies[g] for g in _GROUPS},
            services=self._services.list,
            pods=self._pods.list,
            release=self._release,
            clock=self._clock,
        )
        await self._follow(gateway_api=await install(self._client, self._clock))
        self._flush()
        self._hub.subscribe(self._answered)
        await self._server.start()
        self._ready = True
        self._owner.start(self._run(), "translate")
        self._recorder.start(self._owner)
        self._owner.start(self._statuses.run(), "statuses")
        self._owner.start(self._statuses.queue.run_timers(), "status timers")
        self._owner.start(self._retry_refused(), "refused")

    async def _follow(self, *, gateway_api: bool) -> None:
        """Subscribe to everything and wait until the first lists are there."""
        self._slices.add_index("service", _service_of_slice)
        # An informer of a kind that is not served would ask in vain.
        self._rules = {r: self._informers.informer(r) for r in (INGRESSES, INGRESSCLASSES, *(_RULES if gateway_api else ()))}
        self._rules[SECRETS] = self._informers.informer(SECRETS, field_selector="type=kubernetes.io/tls")
        for informer in (self._services, self._slices, self._pods, *self._rules.values()):
            await informer.synced()
        self._services.subscribe(lambda old, new: self._touch([key_of(o) for o in (old, new) if o]))
        self._slices.subscribe(lambda old, new: self._touch([k for o in (old, new) if o for k in _service_keys(o)]))
        for informer in self._rules.values():
            informer.subscribe(self._rules_changed)
        for resource, desired in (
            (GATEWAYCLASSES, self._class_status),
            (GATEWAYS, self._gateway_status),
            (HTTPROUTES, partial(self._route_status, HTTPROUTES)),
            (GRPCROUTES, partial(self._route_status, GRPCROUTES)),
            (INGRESSES, self._ingress_status),
        ):
            if resource in self._rules:
                self._statuses.register(resource, self._rules[resource], desired)
        self._statuses.register(SERVICES, self._services, self._service_status)

    async def stop(self, *, keep_envoys: bool = False) -> None:
        """Let go. With ``keep_envoys`` the proxies go on with what they know; else they drain and end."""
        await self._owner.close()
        if not keep_envoys:
            for proxy in self.proxies.values():
                await proxy.stop()
        if self._ready:
            await self._server.stop()
        for proxy in self.proxies.values():
            await proxy.close()
            if not keep_envoys:
                proxy.spec.admin.unlink(missing_ok=True)
                proxy.spec.xds.unlink(missing_ok=True)

    # What changed

    def _touch(self, keys: Iterable[Key]) -> None:
        self._dirty.update(dict.fromkeys(keys))
        self._changed.set()

    def _rules_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _same_intent(old, new):
            return
        self._rules_dirty = True
        self._changed.set()

    def _release(self, uid: str) -> None:
        """A terminating pod is not to be a last resort any more."""
        if uid not in self._released:
            self._released.add(uid)
            self._touch(Key(p.namespace, p.name) for p in self._members.ports_of(uid))

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                self._flush()
            except Exception:  # what is served stays as it is; the next change tries again
                log.exception("the change could not be translated; the proxies keep what they have")

    def _flush(self) -> None:
        """Translate what changed and offer it."""
        old = self._snapshot
        services = dict(old.services)
        changed = [k for k in self._due() if self._translate_service(k, services)]
        if self._rules_dirty or any(_shape(services.get(k)) != _shape(old.services.get(k)) for k in changed):
            self._rules_dirty = False
            world = self._world(services)
            self._translated = translate_gateways(world)
            classes, ingresses = self._list(INGRESSCLASSES), self._list(INGRESSES)
            done = translate_ingresses(ingresses, classes, world.references, world.places)
            self._statuses.add(INGRESSES, self._ingresses.update(done))
        elif not changed:
            return
        translated = self._translated
        gateways = (*translated.gateways, *self._ingresses.done.gateways)
        new = Snapshot(
            version=old.version + 1,
            services=services,
            gateways=old.gateways if gateways == old.gateways else gateways,
            mesh_routes=old.mesh_routes if translated.mesh_routes == old.mesh_routes else translated.mesh_routes,
        )
        same = new.gateways is old.gateways and new.mesh_routes is old.mesh_routes
        if not same and (problems := new.consistent()):
            log.error("the new state is not served: %s", "; ".join(problems))
            return
        self._publish(old, new, changed)

    def _publish(self, old: Snapshot, new: Snapshot, changed: Iterable[Key]) -> None:
        self._snapshot = new
        self._hub.publish(self._compiler.update(new))
        since = {g: c.serial for g, c in self._hub.caches.items()}
        for key in changed:
            self._members.update(old.services.get(key), new.services.get(key), since)
            if (obj := self._services.get(key)) is not None and balancer_address(obj["spec"]):
                self._statuses.add(SERVICES, (key,))
        self._released = {uid for uid in self._released if self._members.ports_of(uid)}
        self._write_statuses()

    def _due(self) -> list[Key]:
        """The services to translate now. Big ones that were translated a moment ago wait for their turn."""
        now = self._clock.monotonic()
        due = [k for k in self._dirty if self._paced.get(k, 0.0) <= now]
        for key in self._dirty.keys() - set(due):
            self._later(key, self._paced[key] - now)
        self._dirty.clear()
        return due

    def _translate_service(self, key: Key, services: dict[Key, Service]) -> bool:
        """Put the service as it is now into ``services``. Whether it changed."""
        obj, old = self._services.get(key), services.get(key)
        slices = self._slices.by_index("service", str(key))
        start, drained = self._settings.service_start, frozenset(self._released)
        new = translate_service(obj, slices, unprivileged_start=start, drained=drained) if obj is not None else None
        if new is not None and obj is not None:
            settings = self._settings
            new = open_outside(
                new,
                obj["spec"],
                machine_ip=settings.gateway_address,
                unprivileged_start=settings.unprivileged_start,
            )
        if new is not None and self._settings.doors:
            new = through_doors(new, {place: str(path) for place, path in self._settings.doors.items()})
        if new == old:
            return False
        self._paced.pop(key, None)
        if new is None:
            del services[key]
            return True
        services[key] = new
        size = sum(len(p.endpoints) for p in new.ports)
        if size >= _PACE_FROM:
            self._paced[key] = self._clock.monotonic() + size * _PACE
        return True

    def _later(self, key: Key, seconds: float) -> None:
        async def touch() -> None:
            await self._clock.sleep(seconds)
            self._touch((key,))

        self._owner.start(touch(), f"later {key}")

    def _world(self, services: Mapping[Key, Service]) -> World:
        return World(
            classes=self._list(GATEWAYCLASSES),
            gateways=self._list(GATEWAYS),
            routes=self._list(HTTPROUTES),
            grpc_routes=self._list(GRPCROUTES),
            namespaces={meta(n)["name"]: labels_of(n) for n in self._list(NAMESPACES)},
            references=References(
                services=services,
                secrets={key_of(s): s for s in self._list(SECRETS)},
                grants=grants(self._list(REFERENCEGRANTS)),
            ),
            places=self._places,
        )

    def _list(self, resource: Any) -> Sequence[Object]:
        informer = self._rules.get(resource)
        return informer.list() if informer is not None else ()

    # What the proxies answered

    def _proxies_changed(self) -> None:
        if self._ready:
            self._statuses_again()

    def _answered(self, group: str, names: Iterable[Any]) -> None:
        if self._unsettled:
            self._statuses_again()
        for name in names:
            if name.name.startswith("service/") and (
                self._hub.refusal(group, name) or _service_key(name.name) in self._refused_services
            ):
                self._statuses.add(SERVICES, (_service_key(name.name),))

    def _statuses_again(self) -> None:
        for resource, key in self._unsettled:
            self._statuses.add(resource, (key,))

    def _write_statuses(self) -> None:
        translated = self._translated
        if translated is self._written:
            return
        self._written = translated
        self._statuses.add(GATEWAYCLASSES, translated.classes)
        self._statuses.add(GATEWAYS, translated.gateway_statuses)
        self._statuses.add(HTTPROUTES, translated.route_statuses)
        self._statuses.add(GRPCROUTES, translated.grpc_statuses)

    async def _retry_refused(self) -> None:
        while True:
            await self._clock.sleep(_REFUSED_AGAIN)
            self._hub.retry_refused()

    def _class_status(self, obj: Object) -> dict[str, Any] | None:
        return desired_class(obj, self._clock.now()) if key_of(obj) in self._translated.classes else None

    def _gateway_status(self, obj: Object) -> dict[str, Any] | None:
        wanted = self._translated.gateway_statuses.get(key_of(obj))
        if wanted is None:
            return None
        status = desired_gateway(obj, wanted, self._programmed, self._clock.now())
        self._note(GATEWAYS, key_of(obj), status["conditions"])
        return status

    def _route_status(self, resource: Resource, obj: Object) -> dict[str, Any] | None:
        translated = self._translated
        statuses = translated.route_statuses if resource is HTTPROUTES else translated.grpc_statuses
        wanted = statuses.get(key_of(obj))
        if wanted is None:
            return None
        status = desired_route(obj, wanted, self._programmed, self._clock.now())
        self._note(resource, key_of(obj), [c for p in status["parents"] for c in p["conditions"]])
        return status

    def _ingress_status(self, obj: Object) -> dict[str, Any] | None:
        status, settled = self._ingresses.status(obj, self._programmed)
        (self._unsettled.discard if settled else self._unsettled.add)((INGRESSES, key_of(obj)))
        return status

    def _note(self, resource: Any, key: Key, conditions: Sequence[Mapping[str, Any]]) -> None:
        """Remember whether the object must be looked at again when a proxy answers."""
        settled = all(c["status"] == "True" for c in conditions if c["type"].endswith(PROGRAMMED))
        (self._unsettled.discard if settled else self._unsettled.add)((resource, key))

    def _service_status(self, obj: Object) -> dict[str, Any] | None:
        """The load balancer's address; conditions for a Service that a proxy refused, and once more when it is accepted again."""
        service, key = self._snapshot.services.get(key_of(obj)), key_of(obj)
        states = [self._programmed(p.key) for p in service.ports] if service and service.address else []
        refused = next((s for s in states if s.status is False), None)
        address = balancer_address(obj["spec"])
        balancer = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}} if service and address else {}
        if refused is None and key not in self._refused_services:
            return balancer or None
        (self._refused_services.add if refused else self._refused_services.discard)(key)
        state = (refused or Condition(PROGRAMMED, True, "Programmed"))._replace(type=f"lateen.dev/{PROGRAMMED}")
        old = (obj.get("status") or {}).get("conditions") or ()
        written = state.written(int(meta(obj).get("generation") or 0))
        return {"conditions": set_condition(old, written, self._clock.now()), **balancer}

    def _programmed(self, place: Place) -> Condition:
        """What the proxies say about a gateway port or a service port."""
        for group, names in self._names(place):
            if words := next((w for n in names if (w := self._hub.refusal(group, n))), ""):
                return Condition(PROGRAMMED, False, "Invalid", f"the {group} proxy refused it: {words}")
            if not self._hub.connected(group):
                return Condition(PROGRAMMED, None, "Pending", f"the {group} proxy is not connected: {self.proxies[group].problem}")
            if not all(self._hub.has(group, n) for n in names):
                return Condition(PROGRAMMED, None, "Pending", f"the {group} proxy has not acknowledged it yet")
        return Condition(PROGRAMMED, True, "Programmed")

    def _names(self, place: Place) -> Iterator[tuple[str, list[Any]]]:
        """The resources of a place, by group."""
        from lateen.traffic.xds.resource import LISTENER, ROUTES, Name

        if isinstance(place, PortKey):
            port = self._snapshot.port(place)
            kinds = (LISTENER, ROUTES) if port is not None and port.protocol.is_http else (LISTENER,)
            yield "mesh", [Name(kind, f"service/{place}") for kind in kinds]
            if port is not None and port.outside:
                group = _BORDER if _BORDER in self.proxies else "mesh"
                yield group, [Name(LISTENER, f"service/{place}/outside/{i}") for i in range(len(port.outside))]
            return
        name = f"gateway/{place.gateway}/{place.port}"
        found = next((g for g in self._snapshot.gateways if (g.gateway, g.port) == place), None)
        servers = [f"{name}/{s.section}" for s in found.servers] if found else []
        yield "edge", [Name(LISTENER, name), *(Name(ROUTES, n) for n in servers or [name])]
        if _BORDER in self.proxies:
            yield _BORDER, [Name(LISTENER, name)]


def _import() -> None:
    """Load what takes 0.3 s (in a thread: the loop keeps running)."""
    for name in ("server", "compile", "hub"):
        importlib.import_module(f"lateen.traffic.xds.{name}")


def _service_keys(piece: Object) -> list[Key]:
    name = labels_of(piece).get(SERVICE_LABEL)
    return [Key(meta(piece).get("namespace", ""), name)] if name else []


def _service_of_slice(piece: Object) -> list[str]:
    return [str(k) for k in _service_keys(piece)]


def _service_key(resource_name: str) -> Key:
    _, namespace, name, *_ = resource_name.split("/")
    return Key(namespace, name)


def _shape(service: Service | None) -> Any:
    return service.shape if service else None


def _same_intent(old: Object, new: Object) -> bool:
    """Whether two versions of an object say the same to the translation (statuses are what it writes itself)."""
    same = all(old.get(k) == new.get(k) for k in ("spec", "data"))
    return same and labels_of(old) == labels_of(new) and annotations_of(old) == annotations_of(new)
