"""Services, endpoints and policies (pkg/apis/{core,discovery,networking}/*/defaults.go)."""

from __future__ import annotations

from lateen.kube.defaults.base import Rule, fill, items, part
from lateen.kube.meta import Object

_AFFINITY_SECONDS = 10800
_EXPOSED = ("NodePort", "LoadBalancer")


def service(obj: Object) -> None:
    """Service. Cluster IPs, families and node ports are the API server's to allocate."""
    spec = part(obj, "spec")
    fill(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "ClientIP":
        fill(part(part(spec, "sessionAffinityConfig"), "clientIP"), timeoutSeconds=_AFFINITY_SECONDS)
    for port in items(spec, "ports"):
        fill(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port")
    if spec["type"] in _EXPOSED:
        fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] in (*_EXPOSED, "ClusterIP"):
        fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        fill(spec, allocateLoadBalancerNodePorts=True)


def endpoints(obj: Object) -> None:
    """Endpoints."""
    for subset in items(obj, "subsets"):
        for port in items(subset, "ports"):
            fill(port, protocol="TCP")


def endpoint_slice(obj: Object) -> None:
    """EndpointSlice."""
    for port in items(obj, "ports"):
        fill(port, name="", protocol="TCP")


def network_policy(obj: Object) -> None:
    """NetworkPolicy."""
    spec = part(obj, "spec")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for direction in ("ingress", "egress"):
        for rule in items(spec, direction):
            for port in items(rule, "ports"):
                fill(port, protocol="TCP")


RULES: dict[tuple[str, str], Rule] = {
    ("", "Service"): service,
    ("", "Endpoints"): endpoints,
    ("discovery.k8s.io", "EndpointSlice"): endpoint_slice,
    ("networking.k8s.io", "NetworkPolicy"): network_policy,
}
