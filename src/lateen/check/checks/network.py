"""NetworkPolicies, Services and the edge: who may reach what, and from where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from lateen.check import policies
from lateen.check.exposure import STORE_PORTS, internal, outside, reachable, service_ports, store
from lateen.check.finding import Hit, Severity
from lateen.check.manifest import Manifest, Path, mapping, maps
from lateen.check.registry import check
from lateen.check.workload import Workload
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_ANYWHERE = ("0.0.0.0/0", "::/0")


def _limitable(world: World) -> dict[str, list[Workload]]:
    """The workloads that policies can limit, by namespace."""
    found = defaultdict(list)
    for w in world.serving:
        if w.pod.get("hostNetwork") is not True:
            found[w.namespace].append(w)
    return found


@check(
    "LT-NET-062",
    "no NetworkPolicy",
    WARNING,
    why="Without a policy every pod of the cluster can reach it: one break-in reaches everything.",
    fix="add a default deny for the namespace, and a policy that allows each caller",
)
def no_policy(world: World) -> Iterator[Hit]:
    for found in _limitable(world).values():
        bare = [w for w in found if not policies.limiting(world, w, "Ingress")]
        if len(bare) == len(found):
            names = ", ".join(w.name for w in bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
            yield Hit(bare[0].manifest, ("metadata", "name"), f"no NetworkPolicy limits who reaches {names}")
        else:
            for w in bare:
                yield Hit(w.manifest, ("metadata", "name"), f"no NetworkPolicy limits who reaches {w.name}")


@check(
    "LT-NET-063",
    "no default deny",
    INFO,
    why="Policies only limit the pods they select: one that is added later is open until somebody remembers.",
    fix="add a NetworkPolicy with podSelector: {} and no rules",
)
def no_default_deny(world: World) -> Iterator[Hit]:
    by_namespace = defaultdict(list)
    for p in world.kind("NetworkPolicy"):
        by_namespace[world.namespace(p)].append(p)
    for found in by_namespace.values():
        if not any(not _selector(p) and "Ingress" in policies.types(p) for p in found):
            yield Hit(found[0], ("spec", "podSelector"), "the namespace has NetworkPolicies but no default deny")


def _selector(policy: Manifest) -> dict[str, Any]:
    return mapping(policy.spec.get("podSelector"))


@check(
    "LT-NET-064",
    "NetworkPolicy selects no pod",
    WARNING,
    why="It protects nothing, and who reads it believes that it does.",
    fix="correct spec.podSelector to the labels of the pods",
)
def idle_policy(world: World) -> Iterator[Hit]:
    for p in world.kind("NetworkPolicy"):
        namespace = world.namespace(p)
        if _selector(p) and world.in_namespace(namespace) and not world.selected(namespace, _selector(p)):
            yield Hit(p, ("spec", "podSelector"), "the policy selects no pod")


def _peers(p: Manifest) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """(direction, path, peer) of each peer of a policy."""
    for direction, key in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(maps(p.spec.get(direction))):
            for j, peer in enumerate(maps(rule.get(key))):
                yield direction, ("spec", direction, i, key, j), peer


@check(
    "LT-NET-065",
    "peer of a NetworkPolicy matches nothing",
    WARNING,
    why="The caller that was meant is refused; or the rule is left over from one that is gone.",
    fix="correct the peer's selectors to the labels of the caller",
)
def idle_peer(world: World) -> Iterator[Hit]:
    for p in world.kind("NetworkPolicy"):
        namespace = world.namespace(p)
        for _, path, peer in _peers(p):
            selector = mapping(peer.get("podSelector"))
            if not selector or not world.in_namespace(namespace):
                continue
            where = [namespace] if "namespaceSelector" not in peer else _namespaces(world, peer)
            if where and not any(world.selected(n, selector) for n in where):
                yield Hit(p, (*path, "podSelector"), "the peer selects no pod")


def _namespaces(world: World, peer: dict[str, Any]) -> list[str]:
    """The namespaces that a peer names and whose workloads are in sight; empty when others may be meant."""
    name = mapping(mapping(peer["namespaceSelector"]).get("matchLabels")).get("kubernetes.io/metadata.name")
    return [str(name)] if name and world.in_namespace(str(name)) else []


@check(
    "LT-NET-066",
    "NetworkPolicy lets everybody in",
    WARNING,
    why="A rule that allows every address or every namespace is no limit.",
    fix="name the callers in from",
)
def open_policy(world: World) -> Iterator[Hit]:
    for p in world.kind("NetworkPolicy"):
        targets = world.selected(world.namespace(p), _selector(p))
        if targets and all(reachable(world, w) for w in targets):
            continue  # an entry point is there for everybody
        for i, rule in enumerate(maps(p.spec.get("ingress"))):
            if not rule.get("from"):
                yield Hit(p, ("spec", "ingress", i), "the rule lets everybody in" + (" on its ports" if rule.get("ports") else ""))
        for direction, path, peer in _peers(p):
            if direction == "ingress" and mapping(peer.get("ipBlock")).get("cidr") in _ANYWHERE:
                yield Hit(p, (*path, "ipBlock", "cidr"), "the rule lets every address in")
            elif direction == "ingress" and peer.get("namespaceSelector") == {} and not peer.get("podSelector"):
                yield Hit(p, (*path, "namespaceSelector"), "the rule lets every namespace in")


@check(
    "LT-NET-067",
    "egress policy forgets DNS",
    ERROR,
    why="Pods that may not ask for names reach nothing by name: the symptom is a timeout of everything.",
    fix="allow UDP and TCP port 53 to kube-system",
)
def no_dns(world: World) -> Iterator[Hit]:
    seen = set()
    for w in world.workloads:
        limits = policies.limiting(world, w, "Egress")
        if any(policies.rules(limits, "Egress")) and not policies.allows_dns(world, limits):
            p = next(p for p in limits if p.spec.get("egress"))
            if id(p) not in seen:
                seen.add(id(p))
                yield Hit(p, ("spec", "egress"), f"the pods of {w.name} may send, but not ask for names (port 53)")


@check(
    "LT-NET-219",
    "NetworkPolicy names a port that the pods do not have",
    WARNING,
    why="The port that was meant stays closed.",
    fix="use the container's port, not the Service's",
)
def wrong_port(world: World) -> Iterator[Hit]:
    for p in world.kind("NetworkPolicy"):
        targets = world.selected(world.namespace(p), _selector(p)) if _selector(p) else []
        known = {
            v for w in targets for c in w.containers for port in c.ports for v in (port.get("containerPort"), port.get("name"))
        }
        for i, rule in enumerate(maps(p.spec.get("ingress"))):
            for j, port in enumerate(maps(rule.get("ports"))):
                value = port.get("port")
                if value is not None and known and value not in known and not port.get("endPort"):
                    yield Hit(p, ("spec", "ingress", i, "ports", j, "port"), f"the selected pods have no port {value}")


# -- Services and the edge -----------------------------------------------------------------------------------------------


@check(
    "LT-NET-081",
    "Service is open to the outside",
    WARNING,
    why="A node port opens the Service on every node; a data store behind a load balancer is open to the world.",
    fix="use type ClusterIP; publish through an Ingress or a Gateway",
)
def open_service(world: World) -> Iterator[Hit]:
    for s in world.services:
        kind = s.spec.get("type")
        if kind not in ("LoadBalancer", "NodePort") or internal(s):
            continue
        stores = [w for w in world.behind(s) if store(w)]
        port = next((n for n in service_ports(s) if n in STORE_PORTS), 0)
        if stores or port:
            what = stores[0].name if stores else STORE_PORTS[port]
            yield Hit(s, ("spec", "type"), f"the data store {what} is open to the outside ({kind})", ERROR)
        elif kind == "NodePort":
            yield Hit(s, ("spec", "type"), "the Service is open on every node (NodePort)")
        else:
            yield Hit(s, ("spec", "type"), "the Service is open to every address (LoadBalancer)", INFO)


@check(
    "LT-NET-082",
    "externalIPs",
    WARNING,
    why="A Service with externalIPs takes over traffic to these addresses, anybody's included (CVE-2020-8554).",
    fix="use a load balancer or a Gateway",
)
def external_ips(world: World) -> Iterator[Hit]:
    for s in world.services:
        if s.spec.get("externalIPs"):
            yield Hit(s, ("spec", "externalIPs"), "the Service claims external addresses")


@check(
    "LT-NET-083",
    "reachable from outside, with rights in the cluster",
    WARNING,
    why="Who breaks into it from outside has these rights.",
    fix="separate what faces outside from what needs the rights",
)
def reachable_with_rights(world: World) -> Iterator[Hit]:
    from lateen.check.rights import granted

    for w in world.serving:
        if w.account != "default" and reachable(world, w) and (rights := granted(world, w.namespace, w.account)):
            yield Hit(w.manifest, w.path("serviceAccountName"), f"reachable from outside, and {w.account} may {rights}")


@check(
    "LT-NET-074",
    "edge without TLS",
    WARNING,
    why="Passwords and sessions cross the network in clear, and anybody on the way can change the answers.",
    fix="add tls with a Secret that holds the certificate (cert-manager makes it)",
)
def no_tls(world: World) -> Iterator[Hit]:
    for m in world.kind("Ingress"):
        managed = any("ssl" in k or "certificate" in k or "tls" in k for k in m.annotations)
        if not m.spec.get("tls") and not managed:
            yield Hit(m, ("spec", "tls"), "the Ingress has no TLS")
    for m in world.kind("Gateway"):
        istio = "istio" in m.group
        entries = maps(m.spec.get("servers" if istio else "listeners"))
        secure = [e for e in entries if _secure(e, istio=istio)]
        for i, e in enumerate(entries):
            if not secure and _plain_http(e, istio=istio):
                yield Hit(m, ("spec", "servers" if istio else "listeners", i), "the Gateway listens without TLS only")


def _secure(entry: dict[str, Any], *, istio: bool) -> bool:
    protocol = mapping(entry.get("port")).get("protocol") if istio else entry.get("protocol")
    return protocol in ("HTTPS", "TLS", "GRPC-TLS") or bool(mapping(entry.get("tls")).get("httpsRedirect"))


def _plain_http(entry: dict[str, Any], *, istio: bool) -> bool:
    protocol = mapping(entry.get("port")).get("protocol") if istio else entry.get("protocol")
    return protocol in ("HTTP", "HTTP2", "GRPC")


@check(
    "LT-NET-076",
    "wildcard or missing host",
    INFO,
    why="A route without a host answers for every name that points here, other people's included.",
    fix="name the host",
)
def any_host(world: World) -> Iterator[Hit]:
    for m in world.kind("Ingress"):
        for i, rule in enumerate(maps(m.spec.get("rules"))):
            host = str(rule.get("host") or "")
            if not host or host.startswith("*"):
                yield Hit(m, ("spec", "rules", i, "host"), f"the rule answers for {host or 'every host'}")


@check(
    "LT-NET-077",
    "certificate host without a rule",
    WARNING,
    why="The certificate is for a name that no rule serves, or the rule's name has no certificate.",
    fix="make tls.hosts and the hosts of the rules agree",
)
def tls_hosts(world: World) -> Iterator[Hit]:
    for m in world.kind("Ingress"):
        served = {str(r.get("host")) for r in maps(m.spec.get("rules")) if r.get("host")}
        named = {str(h) for t in maps(m.spec.get("tls")) for h in t.get("hosts") or ()}
        for i, t in enumerate(maps(m.spec.get("tls"))):
            for j, host in enumerate(t.get("hosts") or ()):
                if served and not any(_covers(host, s) for s in served):
                    yield Hit(m, ("spec", "tls", i, "hosts", j), f"no rule serves {host}")
        for i, rule in enumerate(maps(m.spec.get("rules"))):
            if named and rule.get("host") and not any(_covers(n, rule["host"]) for n in named):
                yield Hit(m, ("spec", "rules", i, "host"), f"no certificate covers {rule['host']}")


def _covers(pattern: str, host: str) -> bool:
    return pattern == host or (pattern.startswith("*.") and host.partition(".")[2] == pattern[2:])


@check(
    "LT-NET-078",
    "two routes for one host and path",
    ERROR,
    why="Which one wins depends on age or on the controller: half of the clients may get the other service.",
    fix="keep one, or make the paths or hosts differ",
)
def duplicate_route(world: World) -> Iterator[Hit]:
    first: dict[tuple[str, str, str, str], tuple[Manifest, str]] = {}
    for m in world.kind("Ingress"):
        classes = str(m.spec.get("ingressClassName") or m.annotations.get("kubernetes.io/ingress.class", ""))
        if m.annotations.get("nginx.ingress.kubernetes.io/canary") == "true":
            continue
        for i, rule in enumerate(maps(m.spec.get("rules"))):
            for j, p in enumerate(maps(mapping(rule.get("http")).get("paths"))):
                key = (classes, str(rule.get("host", "")), str(p.get("path", "/")), str(p.get("pathType", "")))
                path = ("spec", "rules", i, "http", "paths", j)
                if key in first:
                    yield Hit(m, path, f"{key[1] or 'any host'}{key[2]} is also routed by Ingress {first[key][0].name}")
                first.setdefault(key, (m, ""))


_SNIPPETS = ("configuration-snippet", "server-snippet", "auth-snippet", "modsecurity-snippet", "stream-snippet", "location-snippet")


@check(
    "LT-NET-079",
    "snippet annotation",
    ERROR,
    why="A snippet is configuration of the shared proxy: who writes one can read every Secret the controller can (CVE-2021-25742).",
    fix="use the controller's typed annotations, or a Gateway filter",
)
def snippet(world: World) -> Iterator[Hit]:
    for m in world.kind("Ingress"):
        for key in m.annotations:
            if key.rpartition("/")[2] in _SNIPPETS:
                yield Hit(m, ("metadata", "annotations", key), f"the Ingress carries {key.rpartition('/')[2]}")


@check(
    "LT-NET-080",
    "controller at its end of life",
    INFO,
    why="ingress-nginx gets no security fixes since March 2026.",
    fix="move to a Gateway API implementation, or another controller",
)
def retired_controller(world: World) -> Iterator[Hit]:
    for m in world.kind("Ingress"):
        name = m.spec.get("ingressClassName") or m.annotations.get("kubernetes.io/ingress.class")
        if name == "nginx" and any(k.startswith("nginx.ingress.kubernetes.io/") for k in m.annotations):
            yield Hit(m, ("spec", "ingressClassName"), "the Ingress relies on ingress-nginx, which is retired")


@check(
    "LT-NET-222",
    "data store published by a route",
    ERROR,
    why="A data store that the outside reaches is attacked within minutes, and its protocol rarely limits guesses.",
    fix="remove the route; let the owning service answer",
)
def routed_store(world: World) -> Iterator[Hit]:
    for route, backend in world.backends():
        service = world.get("Service", str(backend.get("namespace") or world.namespace(route)), str(backend.get("name")))
        if service is not None and outside(world, service):
            for w in world.behind(service):
                if store(w):
                    yield Hit(route, backend["path"], f"the route publishes the data store {w.name}")
