"""One proxy's way to what shall be: what it subscribed to, what it has, what is under way, what it refused.

Speaks the incremental (delta) xDS protocol without any I/O: the server feeds requests to ``hear`` and sends what ``next`` gives.
One message per type is under way at a time, so changes that arrive meanwhile merge into the next one. A resource that needs
clusters waits until the proxy has them with their endpoints; clusters are removed only when nothing else is pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2

from lateen.traffic.xds.cache import Cache
from lateen.traffic.xds.resource import CLUSTER, ENDPOINTS, LISTENER, ORDER, ROUTES, Name, Resource

_WILDCARD = frozenset((CLUSTER, LISTENER))


@dataclass(slots=True)
class _Flight:
    """A message that was sent and not yet answered. ``serial`` is the cache's when it was made."""

    nonce: str
    serial: int
    put: dict[str, Resource]
    drop: tuple[str, ...]


@dataclass(slots=True)
class _Type:
    """The state of one resource type."""

    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    have: dict[str, str] = field(default_factory=dict)  # name -> version the proxy has
    serials: dict[str, int] = field(default_factory=dict)  # name -> serial of the cache that it is known to have reached
    dirty: dict[str, None] = field(default_factory=dict)  # names to look at, in order
    alone: set[str] = field(default_factory=set)  # suspects of a NACK that named nobody: sent one by one
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (version, the proxy's words)
    flight: _Flight | None = None
    open: bool = False
    greet: bool = False  # an answer is due even if there is nothing: the proxy's start waits for it

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names


class Session:
    """One stream of one proxy."""

    def __init__(self, cache: Cache) -> None:
        self._cache, self._nonce = cache, 0
        self._types = {t: _Type() for t in ORDER}

    def hear(self, request: Any) -> list[Name]:
        """Take a request in; the names about which something is known now that was not before."""
        state = self._types.get(request.type_url)
        if state is None:
            return []
        # A proxy that comes back says what it has: often all there is, and then no answer of its will follow.
        known = [Name(request.type_url, n) for n in self._subscribe(state, request)]
        flight = state.flight
        if flight is None or request.response_nonce != flight.nonce:
            return known
        state.flight = None
        if request.HasField("error_detail"):
            self._refuse(state, flight, request.error_detail.message)
        else:
            self._accept(state, flight, flight.put)
        return [Name(request.type_url, n) for n in (*flight.put, *flight.drop)]

    def _subscribe(self, state: _Type, request: Any) -> Iterable[str]:
        """Note what the proxy asks for; the names it says that it has already."""
        first, state.open = not state.open, True
        asked = list(request.resource_names_subscribe)
        known = dict(request.initial_resource_versions) if first else {}
        state.have.update(known)
        if "*" in asked or (first and not asked and request.type_url in _WILDCARD):
            state.wildcard, state.greet = True, first
            state.dirty.update(dict.fromkeys((*state.have, *self._cache.names(request.type_url))))
        for name in asked:
            if name != "*":
                state.names.add(name)
                if name not in known:
                    state.have.pop(name, None)  # asked for anew: it must be sent again, even if it is the same
                state.dirty[name] = None
        for name in request.resource_names_unsubscribe:
            state.names.discard(name)
            for table in (state.have, state.serials, state.refused, state.dirty):
                table.pop(name, None)
        return known

    def _accept(self, state: _Type, flight: _Flight, put: Iterable[str]) -> None:
        for name in put:
            state.have[name] = flight.put[name].version
            state.serials[name] = flight.serial
            state.refused.pop(name, None)
            state.alone.discard(name)
        for name in flight.drop:
            state.have.pop(name, None)
            state.serials.pop(name, None)

    def _refuse(self, state: _Type, flight: _Flight, words: str) -> None:
        """The proxy keeps what it had of what it refused. It may name the bad ones; else each is tried alone."""
        guilty = [n for n in flight.put if n in words] or (list(flight.put) if len(flight.put) == 1 else [])
        for name in guilty:
            state.refused[name] = (flight.put[name].version, words)
            state.alone.discard(name)
        for name in flight.put:
            if name not in guilty:
                state.alone.add(name)
                state.have.pop(name, None)
                state.dirty[name] = None
        if not guilty:
            state.alone.update(flight.put)
        state.dirty.update(dict.fromkeys(flight.drop))

    def touch(self, names: Iterable[Name]) -> None:
        """The cache changed these."""
        for name in names:
            self._types[name.type].dirty[name.name] = None

    def retry_refused(self) -> bool:
        """Offer once more what was refused: a port may have become free. Whether there is any."""
        for state in self._types.values():
            state.dirty.update(dict.fromkeys(state.refused))
            state.refused = {n: ("", words) for n, (_, words) in state.refused.items()}
        return any(s.refused for s in self._types.values())

    def next(self) -> Any | None:
        """The next message to send (a DeltaDiscoveryResponse), None if there is nothing to say now."""
        for kind in ORDER:
            state = self._types[kind]
            if state.flight is None and (state.dirty or state.greet) and (message := self._message(kind, state)) is not None:
                return message
        return None

    def _message(self, kind: str, state: _Type) -> Any | None:
        put: dict[str, Resource] = {}
        drop: list[str] = []
        for name in list(state.dirty):
            found = self._cache.get(Name(kind, name))
            if not self._due(state, name, found):
                del state.dirty[name]
            elif found is None:
                if kind != CLUSTER or self._quiet():
                    drop.append(name)
            elif self._warm(found) and not (name in state.alone and put):
                put[name] = found
                if name in state.alone:
                    break
        if not put and not drop and not state.greet:
            return None
        return self._send(kind, state, put, drop)

    def _due(self, state: _Type, name: str, found: Resource | None) -> bool:
        """Whether the proxy lacks something about ``name``."""
        if not state.wants(name):
            return False
        if found is None:
            # A subscriber to a name drops it by itself, after what pointed there; it only must hear that there never was one.
            return (name in state.have) == state.wildcard
        if state.have.get(name) == found.version:
            state.serials[name] = self._cache.serial
            state.refused.pop(name, None)
            return False
        return state.refused.get(name, ("", ""))[0] != found.version

    def _warm(self, found: Resource) -> bool:
        clusters, members = self._types[CLUSTER].have, self._types[ENDPOINTS].have
        return all(n in clusters and n in members for n in found.needs)

    def _quiet(self) -> bool:
        """Whether listeners and routes have settled, so that nothing points to a cluster that goes."""
        listeners, routes = self._types[LISTENER], self._types[ROUTES]
        return listeners.open and not any(t.flight or t.dirty or t.greet for t in (listeners, routes))

    def _send(self, kind: str, state: _Type, put: dict[str, Resource], drop: Sequence[str]) -> Any:
        self._nonce += 1
        state.greet = False
        state.flight = _Flight(str(self._nonce), self._cache.serial, put, tuple(drop))
        for name in (*put, *drop):
            state.dirty.pop(name, None)
        return discovery_pb2.DeltaDiscoveryResponse(
            type_url=kind,
            nonce=state.flight.nonce,
            system_version_info=str(self._cache.serial),
            resources=[r.packed for r in put.values()],
            removed_resources=drop,
        )

    def reached(self, name: Name, serial: int) -> bool:
        """Whether the proxy has ``name`` as the cache had it at ``serial`` or later."""
        return self._types[name.type].serials.get(name.name, -1) >= serial

    def has(self, name: Name) -> bool:
        """Whether the proxy has ``name`` as the cache has it now."""
        found = self._cache.get(name)
        return self._types[name.type].have.get(name.name) == (found.version if found else None)

    def refusals(self) -> Iterator[tuple[Name, str]]:
        """What the proxy refused, in its words."""
        for kind, state in self._types.items():
            for name, (_, words) in state.refused.items():
                yield Name(kind, name), words

    def refusal(self, name: Name) -> str:
        """Why the proxy refused ``name``, or ''."""
        return self._types[name.type].refused.get(name.name, ("", ""))[1]
