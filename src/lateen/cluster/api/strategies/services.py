"""Service: cluster addresses and node ports are taken as the last step before it is stored, and given back when it goes."""

from __future__ import annotations

from typing import Any

from lateen.cluster.api import statuses
from lateen.cluster.api.allocation import ServiceAddresses
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object
from lateen.kube.validation.errors import FieldError, invalid

_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


def reserve(backend: Backend, call: Call, new: Object, old: Object | None) -> None:
    """Take what the Service asks for or lacks. InvalidError when it cannot be had; then nothing stays taken."""
    addresses = backend.addresses
    try:
        _take(addresses, new, old)
    except _RefusedError as refused:
        release(backend, new, old)
        raise statuses.invalid_fields(call.served.resource, new["metadata"]["name"], [refused.error]) from refused


class _RefusedError(Exception):
    """An address or port that cannot be had."""

    def __init__(self, error: FieldError) -> None:
        super().__init__(str(error))
        self.error = error


def _carry_over(backend: Backend, call: Call, new: Object, old: Object) -> None:
    """A replacement that does not name the allocated values keeps them."""
    spec, before = new["spec"], old.get("spec") or {}
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    if not spec.get("clusterIP") and before.get("clusterIP"):
        spec["clusterIP"], spec["clusterIPs"] = before["clusterIP"], before.get("clusterIPs") or [before["clusterIP"]]
    if spec.get("type") in _WITH_NODE_PORTS and before.get("type") in _WITH_NODE_PORTS:
        known = {(p.get("protocol"), p["port"]): p["nodePort"] for p in before.get("ports") or () if p.get("nodePort")}
        for port in spec.get("ports") or ():
            if not port.get("nodePort") and (found := known.get((port.get("protocol"), port["port"]))):
                port["nodePort"] = found
    if _checked(spec) and not spec.get("healthCheckNodePort") and before.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before["healthCheckNodePort"]


def _checked(spec: dict[str, Any]) -> bool:
    """Whether a load balancer asks each node if it has an endpoint of its own."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _take(addresses: ServiceAddresses, new: Object, old: Object | None) -> None:
    spec = new["spec"]
    owner = f"{new['metadata'].get('namespace', '')}/{new['metadata']['name']}"
    if spec.get("type") == "ExternalName":
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(name, None)
        return
    wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
    before = ((old or {}).get("spec") or {}).get("clusterIP")
    if before and before != wanted and ((old or {}).get("spec") or {}).get("type") != "ExternalName":
        raise _RefusedError(invalid("spec.clusterIPs[0]", wanted, "may not change once set"))
    if wanted != "None":
        wanted = _ip(addresses, owner, wanted)
    spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    _node_ports(addresses, owner, spec)
    if _checked(spec):
        spec["healthCheckNodePort"] = _health_port(addresses, owner, int(spec.get("healthCheckNodePort") or 0))
    else:
        spec.pop("healthCheckNodePort", None)


def _health_port(addresses: ServiceAddresses, owner: str, wanted: int) -> int:
    try:
        return addresses.take_port(owner, wanted)
    except ValueError as error:
        raise _RefusedError(invalid("spec.healthCheckNodePort", wanted or None, str(error))) from error


def _ip(addresses: ServiceAddresses, owner: str, wanted: str) -> str:
    try:
        return addresses.take_ip(owner, wanted)
    except ValueError as error:
        raise _RefusedError(invalid("spec.clusterIPs", [wanted] if wanted else None, str(error))) from error


def _node_ports(addresses: ServiceAddresses, owner: str, spec: dict[str, Any]) -> None:
    if spec.get("type") not in _WITH_NODE_PORTS or spec.get("allocateLoadBalancerNodePorts") is False:
        if spec.get("type") == "ClusterIP":
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
        return
    taken: dict[tuple[int, str], int] = {}
    for i, port in enumerate(spec.get("ports") or ()):
        number = int(port["port"])
        if not port.get("nodePort") and (shared := _shared(taken, number, str(port.get("protocol")))):
            port["nodePort"] = shared  # the same port over another protocol
            continue
        try:
            port["nodePort"] = addresses.take_port(owner, int(port.get("nodePort") or 0))
        except ValueError as error:
            raise _RefusedError(invalid(f"spec.ports[{i}].nodePort", port.get("nodePort"), str(error))) from error
        taken[number, str(port.get("protocol"))] = port["nodePort"]


def _shared(taken: dict[tuple[int, str], int], number: int, protocol: str) -> int:
    return next((found for (n, p), found in taken.items() if n == number and p != protocol), 0)


def release(backend: Backend, new: Object, old: Object | None) -> None:
    """Undo ``reserve``: what ``old`` holds stays."""
    backend.addresses.release(new, keep=old)


def stored(backend: Backend, new: Object, old: Object | None) -> None:
    """The write happened: what only ``old`` held is free."""
    if old is not None:
        backend.addresses.release(old, keep=new)


def removed(backend: Backend, old: Object) -> None:
    """The Service is gone."""
    backend.addresses.release(old)


STRATEGIES = {
    "core/services": Strategy(
        update=_carry_over, reserve=reserve, release=release, stored=stored, removed=removed, returns_object=True
    ),
}
