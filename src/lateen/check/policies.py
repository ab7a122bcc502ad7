"""What NetworkPolicies allow between workloads: Kubernetes' semantics, over manifests. For network and call checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lateen.check.manifest import Manifest, mapping, maps
from lateen.check.workload import Workload
from lateen.check.world import World
from lateen.kube import selectors

DNS_PORTS = (53, "53", "dns", "dns-tcp", 5353)


def types(policy: Manifest) -> tuple[str, ...]:
    """The directions that a policy limits."""
    given = policy.spec.get("policyTypes")
    if isinstance(given, list) and given:
        return tuple(str(t) for t in given)
    return ("Ingress", "Egress") if policy.spec.get("egress") else ("Ingress",)


def limiting(world: World, workload: Workload, direction: str) -> list[Manifest]:
    """The policies that limit one direction of a workload; none means that all is allowed."""
    return [p for p in world.policies(workload) if direction in types(p)]


def rules(policies: list[Manifest], direction: str) -> Iterator[Mapping[str, Any]]:
    """The rules of these policies."""
    for p in policies:
        yield from maps(p.spec.get(direction.lower()))


def matches(world: World, policy_namespace: str, peer: Mapping[str, Any], other: Workload) -> bool:
    """Whether a peer of a rule covers a workload. Address blocks are taken to cover it: pods have addresses."""
    if "ipBlock" in peer:
        return True
    if "namespaceSelector" in peer:
        wanted = selectors.from_selector(mapping(peer["namespaceSelector"]))
        if not wanted(labels_of_namespace(world, other.namespace)):
            return False
    elif other.namespace != policy_namespace:
        return False
    return "podSelector" not in peer or selectors.from_selector(mapping(peer["podSelector"]))(other.labels)


def labels_of_namespace(world: World, name: str) -> Mapping[str, str]:
    """The labels of a namespace, with the one that every namespace has."""
    found = world.get("Namespace", "default", name)
    return {**(found.labels if found else {}), "kubernetes.io/metadata.name": name}


def allowed(world: World, caller: Workload, callee: Workload) -> str:
    """Empty when the policies let ``caller`` reach ``callee``, else the policy that does not."""
    for direction, subject, other in (("Ingress", callee, caller), ("Egress", caller, callee)):
        limits = limiting(world, subject, direction)
        key = "from" if direction == "Ingress" else "to"
        open_ = any(
            not maps(rule.get(key)) or any(matches(world, world.namespace(p), peer, other) for peer in maps(rule[key]))
            for p in limits
            for rule in maps(p.spec.get(direction.lower()))
        )
        if limits and not open_:
            return f"{limits[0].name} ({direction.lower()})"
    return ""


def allows_dns(world: World, policies: list[Manifest]) -> bool:
    """Whether the egress rules let pods ask for names."""
    for rule in rules(policies, "Egress"):
        ports = maps(rule.get("ports"))
        if ports and not any("port" not in p or p["port"] in DNS_PORTS or _spans(p) for p in ports):
            continue
        peers = maps(rule.get("to"))
        if not peers or ports or any("namespaceSelector" in p or "ipBlock" in p for p in peers):
            return True
    return False


def _spans(port: Mapping[str, Any]) -> bool:
    low, high = port.get("port"), port.get("endPort")
    return isinstance(low, int) and isinstance(high, int) and low <= 53 <= high
