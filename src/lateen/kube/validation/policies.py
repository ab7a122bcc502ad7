"""Limits and classes: LimitRange, StorageClass, RuntimeClass, NetworkPolicy, Lease, and Nodes' taints."""

from __future__ import annotations

import ipaddress
from itertools import pairwise

from lateen.kube import names, quantity
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, follows, label_selector, metadata, one_of, port, unchanged
from lateen.kube.validation.errors import forbidden, invalid, required

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def limit_range(obj: Object, old: Object | None) -> Errors:
    """LimitRange."""
    yield from metadata(obj, names.dns_subdomain)
    for field, item in entries(obj.get("spec") or {}, "limits", "spec"):
        if not item.get("type"):
            yield required(f"{field}.type")
        bounds = ("min", "defaultRequest", "default", "max")
        for resource in sorted({r for b in bounds for r in item.get(b) or {}}):
            found = [(b, item[b][resource]) for b in bounds if resource in (item.get(b) or {})]
            for (lower, small), (upper, large) in pairwise(found):
                if quantity.parse(small) > quantity.parse(large):
                    text = f"{lower} value {small} is greater than {upper} value {large}"
                    yield invalid(f"{field}.{lower}[{resource}]", small, text)


def storage_class(obj: Object, old: Object | None) -> Errors:
    """StorageClass."""
    yield from metadata(obj, names.dns_subdomain)
    if not obj.get("provisioner"):
        yield required("provisioner")
    yield from one_of(obj, "reclaimPolicy", "", ("Delete", "Retain"), need=False)
    yield from one_of(obj, "volumeBindingMode", "", ("Immediate", "WaitForFirstConsumer"), need=False)
    if old is not None:
        for name in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
            if obj.get(name) != old.get(name):
                yield forbidden(name, "updates to " + name + " are forbidden.")


def runtime_class(obj: Object, old: Object | None) -> Errors:
    """RuntimeClass."""
    yield from metadata(obj, names.dns_subdomain)
    yield from follows(names.dns_label, "handler", str(obj.get("handler") or ""))
    if old is not None:
        yield from unchanged(obj.get("handler"), old.get("handler"), "handler")


def network_policy(obj: Object, old: Object | None) -> Errors:
    """NetworkPolicy."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    yield from label_selector(spec.get("podSelector"), "spec.podSelector")
    for way, side in (("ingress", "from"), ("egress", "to")):
        for field, rule in entries(spec, way, "spec"):
            for place, item in entries(rule, "ports", field):
                yield from _ports(item, place)
            for place, peer in entries(rule, side, field):
                yield from _peer(peer, place)
    for i, kind in enumerate(spec.get("policyTypes") or ()):
        yield from one_of({"policyTypes": kind}, "policyTypes", f"spec[{i}]", ("Ingress", "Egress"))


def _ports(item: Object, at: str) -> Errors:
    yield from one_of(item, "protocol", at, ("TCP", "UDP", "SCTP"), need=False)
    first, last = item.get("port"), item.get("endPort")
    if first is not None:
        yield from port(first, f"{at}.port")
    if last is not None and (not isinstance(first, int) or last < first):
        yield invalid(f"{at}.endPort", last, "must be greater than or equal to `port`, which must be a number")


def _peer(peer: Object, at: str) -> Errors:
    kinds = [k for k in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(k) is not None]
    if not kinds:
        yield required(at, "must specify a peer")
    if "ipBlock" in kinds and len(kinds) > 1:
        yield forbidden(at, "may not specify both ipBlock and another peer")
    for kind in ("podSelector", "namespaceSelector"):
        yield from label_selector(peer.get(kind), f"{at}.{kind}")
    if (block := peer.get("ipBlock")) is not None:
        yield from _block(block, f"{at}.ipBlock")


def _block(block: Object, at: str) -> Errors:
    whole = _network(str(block.get("cidr") or ""))
    if whole is None:
        yield invalid(f"{at}.cidr", block.get("cidr", ""), "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")
        return
    for i, text in enumerate(block.get("except") or ()):
        part = _network(str(text))
        if part is None:
            yield invalid(f"{at}.except[{i}]", text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")
        elif part.version != whole.version or part == whole or not part.subnet_of(whole):  # type: ignore[arg-type] # same version
            yield invalid(f"{at}.except[{i}]", text, "must be a strict subset of `cidr`")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text) if "/" in text else None
    except ValueError:
        return None


def lease(obj: Object, old: Object | None) -> Errors:
    """Lease."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if transitions is not None and transitions < 0:
        yield invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


def node(obj: Object, old: Object | None) -> Errors:
    """Node."""
    yield from metadata(obj, names.dns_subdomain)
    seen = set()
    for field, taint in entries(obj.get("spec") or {}, "taints", "spec"):
        yield from follows(names.qualified_name, f"{field}.key", str(taint.get("key") or ""))
        if taint.get("value"):
            yield from follows(names.label_value, f"{field}.value", taint["value"])
        yield from one_of(taint, "effect", field, _EFFECTS)
        identity = (taint.get("key"), taint.get("effect"))
        if identity in seen:
            yield invalid(field, taint, "taints must be unique by key and effect pair")
        seen.add(identity)
