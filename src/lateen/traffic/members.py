"""Which pod is a member of which service port, since when, and in what state. Kept by the controller, read by the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lateen.traffic.ir import Endpoint, Health, PortKey, Service


@dataclass(frozen=True, slots=True)
class Member:
    """An endpoint of a pod. ``since`` is the serial of each proxy group's cache that first had it in this state."""

    endpoint: Endpoint
    since: Mapping[str, int]

    @property
    def draining(self) -> bool:
        return self.endpoint.health is Health.DRAINING


class Members:
    """Members by service port and pod UID."""

    def __init__(self) -> None:
        self._ports: dict[PortKey, dict[str, Member]] = {}
        self._pods: dict[str, set[PortKey]] = {}

    def update(self, old: Service | None, new: Service | None, since: Mapping[str, int]) -> None:
        """A service changed; ``since`` are the serials at which the proxies are offered the new state."""
        kept = {p.key for p in new.ports} if new else set()
        for port in old.ports if old else ():
            if port.key not in kept:
                self._replace(port.key, {})
        for port in new.ports if new else ():
            known = self._ports.get(port.key, {})
            self._replace(port.key, {e.pod: _member(known.get(e.pod), e, since) for e in port.endpoints if e.pod})

    def _replace(self, port: PortKey, fresh: dict[str, Member]) -> None:
        for pod in self._ports.get(port, {}).keys() - fresh.keys():
            ports = self._pods[pod]
            ports.discard(port)
            if not ports:
                del self._pods[pod]
        for pod in fresh:
            self._pods.setdefault(pod, set()).add(port)
        if fresh:
            self._ports[port] = fresh
        else:
            self._ports.pop(port, None)

    def get(self, port: PortKey, pod: str) -> Member | None:
        """The pod's membership, if it is one."""
        return self._ports.get(port, {}).get(pod)

    def ports_of(self, pod: str) -> frozenset[PortKey]:
        """Every port of which the pod is a member."""
        return frozenset(self._pods.get(pod, ()))


def _member(known: Member | None, endpoint: Endpoint, since: Mapping[str, int]) -> Member:
    return known if known is not None and known.endpoint == endpoint else Member(endpoint, since)
