"""Service."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, follows, label_map, metadata, needed, one_of, port, unique
from lateen.kube.validation.containers import PROTOCOLS
from lateen.kube.validation.errors import duplicate, invalid, required

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def service(obj: Object, old: Object | None) -> Errors:
    """Service."""
    yield from metadata(obj, names.dns_1035_label)
    spec = obj.get("spec") or {}
    yield from one_of(spec, "type", "spec", _TYPES)
    yield from one_of(spec, "sessionAffinity", "spec", ("ClientIP", "None"))
    yield from label_map(spec.get("selector"), "spec.selector")
    yield from _ports(spec)
    yield from _addresses(spec)
    if spec.get("type") == "ExternalName":
        yield from needed(names.dns_subdomain, "spec.externalName", (spec.get("externalName") or "").rstrip("."))
    for name in ("externalTrafficPolicy", "internalTrafficPolicy"):
        yield from one_of(spec, name, "spec", ("Cluster", "Local"), need=False)
    if old is not None:
        yield from _update(spec, old.get("spec") or {})


def _ports(spec: Object) -> Errors:
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    for field, found in entries(spec, "ports", ""):
        yield from _port(found, f"spec.{field}", named=len(ports) > 1)
    yield from unique((f"spec.{f}.name", p["name"]) for f, p in entries(spec, "ports", "") if p.get("name"))
    yield from _once(spec)


def _port(found: Object, at: str, *, named: bool) -> Errors:
    if named:
        yield from needed(names.dns_label, f"{at}.name", found.get("name"))
    elif found.get("name"):
        yield from follows(names.dns_label, f"{at}.name", found["name"])
    for text in names.port_number(found.get("port") or 0):
        yield invalid(f"{at}.port", found.get("port") or 0, text)
    yield from one_of(found, "protocol", at, PROTOCOLS)
    if found.get("targetPort") is not None:
        yield from port(found["targetPort"], f"{at}.targetPort")
    if found.get("nodePort"):
        for text in names.port_number(found["nodePort"]):
            yield invalid(f"{at}.nodePort", found["nodePort"], text)


def _once(spec: Object) -> Errors:
    seen: list[Object] = []
    for field, found in entries(spec, "ports", "spec"):
        identity = {"protocol": found.get("protocol"), "port": found.get("port")}
        if identity in seen:
            yield duplicate(field, identity)
        seen.append(identity)


def _addresses(spec: Object) -> Errors:
    for i, address in enumerate(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])):
        if address not in ("", "None") and names.ip_address(address):
            yield invalid(f"spec.clusterIPs[{i}]", address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
    for i, address in enumerate(spec.get("externalIPs") or ()):
        yield from follows(names.ip_address, f"spec.externalIPs[{i}]", address)


def _update(spec: Object, old: Object) -> Errors:
    if "ExternalName" in (spec.get("type"), old.get("type")) or not old.get("clusterIP"):
        return
    if spec.get("clusterIP") != old["clusterIP"]:
        yield invalid("spec.clusterIPs[0]", spec.get("clusterIPs") or [spec.get("clusterIP")], "may not change once set")
