"""EndpointSlice. Unlike in Kubernetes an endpoint may be a loopback address: the embedded cluster's pods have those."""

from __future__ import annotations

import ipaddress

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, entries, follows, metadata, one_of, unchanged
from lateen.kube.validation.containers import PROTOCOLS
from lateen.kube.validation.errors import TOO_MANY, FieldError, duplicate, invalid, required

_TYPES = ("FQDN", "IPv4", "IPv6")
_ENDPOINTS_MAX, _ADDRESSES_MAX = 1000, 100


def endpoint_slice(obj: Object, old: Object | None) -> Errors:
    """EndpointSlice."""
    yield from metadata(obj, names.dns_subdomain)
    kind = obj.get("addressType")
    yield from one_of(obj, "addressType", "", _TYPES)
    endpoints = obj.get("endpoints") or ()
    if len(endpoints) > _ENDPOINTS_MAX:
        yield FieldError(TOO_MANY, "endpoints", f"must have at most {_ENDPOINTS_MAX} items", len(endpoints))
    for field, endpoint in entries(obj, "endpoints", ""):
        yield from _endpoint(endpoint, field, kind or "")
    yield from _ports(obj)
    if old is not None:
        yield from unchanged(kind, old.get("addressType"), "addressType")


def _endpoint(endpoint: Object, at: str, kind: str) -> Errors:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{at}.addresses", "must contain at least 1 address")
    if len(addresses) > _ADDRESSES_MAX:
        yield FieldError(TOO_MANY, f"{at}.addresses", f"must have at most {_ADDRESSES_MAX} items", len(addresses))
    for i, address in enumerate(addresses):
        yield from _address(address, f"{at}.addresses[{i}]", kind)
    if endpoint.get("hostname"):
        yield from follows(names.dns_label, f"{at}.hostname", endpoint["hostname"])


def _address(address: str, field: str, kind: str) -> Errors:
    if kind == "FQDN":
        yield from follows(names.dns_subdomain, field, address)
    elif kind in _TYPES:
        family = ipaddress.IPv4Address if kind == "IPv4" else ipaddress.IPv6Address
        try:
            family(address)
        except ValueError:
            yield invalid(field, address, f"must be a valid {kind} address")


def _ports(obj: Object) -> Errors:
    seen: set[str] = set()
    for field, port in entries(obj, "ports", ""):
        name = port.get("name") or ""
        if name in seen:
            yield duplicate(f"{field}.name", name)
        seen.add(name)
        if name:
            yield from follows(names.dns_label, f"{field}.name", name)
        yield from one_of(port, "protocol", field, PROTOCOLS)
