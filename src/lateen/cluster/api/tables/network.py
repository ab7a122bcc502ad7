"""networking, discovery, coordination."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lateen.cluster.api.tables.base import AGE, NAME, NONE, Column, at, dig, joined, selector
from lateen.kube.meta import Object


def _few(values: list[str]) -> str:
    return joined(values[:3], default="<unset>") + (f" + {len(values) - 3} more..." if len(values) > 3 else "")


def _slice_ports(obj: Object, _: datetime) -> str:
    return _few([str(p["port"]) if p.get("port") is not None else "*" for p in obj.get("ports") or ()])


def _slice_endpoints(obj: Object, _: datetime) -> str:
    return _few([a for e in obj.get("endpoints") or () for a in e.get("addresses") or ()])


def _hosts(obj: Object, _: datetime) -> str:
    hosts = [r["host"] for r in dig(obj, "spec", "rules") or () if r.get("host")]
    return joined(hosts[:3], default="*") + (f" + {len(hosts) - 3} more..." if len(hosts) > 3 else "")


def _addresses(obj: Object, _: datetime) -> str:
    return joined((i.get("ip") or i.get("hostname") or "" for i in dig(obj, "status", "loadBalancer", "ingress") or ()), default="")


def _ingress_ports(obj: Object, _: datetime) -> str:
    return "80, 443" if dig(obj, "spec", "tls") else "80"


def _parameters(obj: Object, _: datetime) -> str:
    ref = dig(obj, "spec", "parameters")
    if not ref:
        return NONE
    group = f".{ref['apiGroup']}" if ref.get("apiGroup") else ""
    return f"{ref.get('kind', '')}{group}/{ref.get('name', '')}"


KINDS: Mapping[str, tuple[Column, ...]] = {
    "discovery.k8s.io/endpointslices": (
        NAME,
        Column("AddressType", at("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
        AGE,
    ),
    "networking.k8s.io/ingresses": (
        NAME,
        Column("Class", at("spec", "ingressClassName", default=NONE)),
        Column("Hosts", _hosts),
        Column("Address", _addresses),
        Column("Ports", _ingress_ports),
        AGE,
    ),
    "networking.k8s.io/ingressclasses": (
        NAME,
        Column("Controller", at("spec", "controller")),
        Column("Parameters", _parameters),
        AGE,
    ),
    "networking.k8s.io/networkpolicies": (NAME, Column("Pod-Selector", selector("spec", "podSelector")), AGE),
    "networking.k8s.io/servicecidrs": (NAME, Column("CIDRs", lambda o, _: joined(dig(o, "spec", "cidrs") or ())), AGE),
    "coordination.k8s.io/leases": (NAME, Column("Holder", at("spec", "holderIdentity")), AGE),
}
