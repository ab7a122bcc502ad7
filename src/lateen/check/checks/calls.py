"""The graph of calls: circles, depth, width, timeouts and retries along paths, calls that go nowhere or are forbidden."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from lateen.check import graph, patience, policies
from lateen.check.finding import Hit, Severity
from lateen.check.graph import Edge
from lateen.check.manifest import Manifest, mapping, maps
from lateen.check.nearby import nearest
from lateen.check.practice import usual
from lateen.check.registry import check
from lateen.check.workload import Workload
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


def _names(edges: list[Edge]) -> str:
    return " -> ".join([edges[0].caller.name, *(e.callee.name for e in edges)])


@check(
    "LT-CPL-172",
    "circle of calls",
    ERROR,
    why="Services that wait for each other in a circle cannot be deployed, tested or recovered alone, and may wait for themselves.",
    fix="turn one direction into an event, or move what both need into a third service",
)
def cycle(world: World) -> Iterator[Hit]:
    for circle in graph.cycles(world):
        yield Hit(circle[0].at, circle[0].path, f"the calls go in a circle: {_names(circle)}")


@check(
    "LT-CPL-173",
    "long chain of calls",
    WARNING,
    why="Each hop adds its latency and its failures: the chain is as slow as all and as reliable as the product.",
    fix="shorten the chain: copy data by events, call in parallel, merge services (settings.chain_depth)",
)
def chain(world: World) -> Iterator[Hit]:
    found = graph.longest(world)
    if len(found) > world.settings.chain_depth:
        yield Hit(found[0].at, found[0].path, f"a request waits for {len(found)} calls in a row: {_names(found)}")


@check(
    "LT-CPL-174",
    "service that calls very many others",
    WARNING,
    why="It fails when any of them fails, and changes when any of them changes.",
    fix="give it a read model of its own, or split it (settings.fan_out)",
)
def fan_out(world: World) -> Iterator[Hit]:
    for edges in graph.calls(world).values():
        callees = {e.callee.name for e in edges}
        if len(callees) > world.settings.fan_out:
            w = edges[0].caller
            yield Hit(w.manifest, ("metadata", "name"), f"{w.name} calls {len(callees)} services: {', '.join(sorted(callees))}")


@check(
    "LT-CPL-178",
    "call without a timeout",
    WARNING,
    why="A caller that waits for ever holds a connection and memory for every request, until it fails too.",
    fix="set a timeout on the route to the callee",
)
def no_timeout(world: World) -> Iterator[Hit]:
    found = [(e, patience.timeout(world, e)) for edges in graph.calls(world).values() for e in edges]
    if not usual(found, lambda x: x[1] is not None, share=0.3):
        return  # nothing in these manifests says anything of timeouts: they are in the code
    for e, setting in found:
        if setting is None:
            yield Hit(e.at, e.path, f"{e.caller.name} calls {e.callee.name} without a timeout; other calls have one")


@check(
    "LT-CPL-179",
    "retries multiply",
    ERROR,
    why="Retries at every hop multiply: a slow service gets many times its load exactly when it is slow.",
    fix="retry in one place only, with a budget (settings.retry_product)",
)
def retry_storm(world: World) -> Iterator[Hit]:
    out = graph.calls(world)
    most = world.settings.retry_product
    worst: tuple[float, list[Edge]] = (0, [])
    for edges in out.values():
        for e in edges:
            found = _product(world, e, frozenset({id(e.caller)}))
            worst = max(worst, found, key=lambda x: x[0])
    if worst[0] > most:
        setting = patience.attempts(world, worst[1][0])
        at = (setting.manifest, setting.path) if setting else (worst[1][0].at, worst[1][0].path)
        yield Hit(*at, f"one request may become {worst[0]:.0f}: {_names(worst[1])}")


def _product(world: World, edge: Edge, above: frozenset[int]) -> tuple[float, list[Edge]]:
    setting = patience.attempts(world, edge)
    own = setting.value if setting else 1.0
    options = [
        _product(world, e, above | {id(edge.callee)})
        for e in graph.calls(world).get(id(edge.callee), ())
        if id(e.callee) not in above | {id(edge.callee)}
    ]
    below: tuple[float, list[Edge]] = max(options, key=lambda x: x[0], default=(1.0, []))
    return own * below[0], [edge, *(below[1] if below[0] > 1 else [])]


@check(
    "LT-CPL-180",
    "callee may wait longer than its caller",
    ERROR,
    why="The caller has given up while the callee still works for nobody: load without use, and retries on top of it.",
    fix="make each timeout shorter than that of the caller",
)
def inverted_timeouts(world: World) -> Iterator[Hit]:
    out = graph.calls(world)
    for edges in out.values():
        for outer in edges:
            limit = patience.timeout(world, outer)
            for inner in out.get(id(outer.callee), ()) if limit else ():
                own = patience.timeout(world, inner)
                if own and limit and own.value >= limit.value and (own.manifest, own.path) != (limit.manifest, limit.path):
                    inside = f"{inner.caller.name} waits {own.value:g} s for {inner.callee.name}"
                    say = f"{inside}, but {outer.caller.name} waits only {limit.value:g} s for {inner.caller.name}"
                    yield Hit(own.manifest, own.path, say)


@check(
    "LT-CPL-181",
    "call without outlier detection",
    WARNING,
    why="One sick pod of the callee keeps getting its share of the requests.",
    fix="add outlierDetection to the DestinationRule of the callee",
)
def no_outlier(world: World) -> Iterator[Hit]:
    rules = {(world.namespace(m), str(m.spec.get("host")).split(".")[0]): m for m in world.kind("DestinationRule")}
    callees = {(world.namespace(e.service), e.service.name): e for edges in graph.calls(world).values() for e in edges}
    keys = list(callees)
    if not any(_ejects(rules.get(k)) for k in keys):
        return
    for key in keys:
        if not _ejects(rules.get(key)):
            e, rule = callees[key], rules.get(key)
            at = (rule, ("spec", "trafficPolicy")) if rule else (e.service, ("metadata", "name"))
            yield Hit(*at, f"nothing ejects sick pods of {e.callee.name}; other callees have outlierDetection")


def _ejects(rule: Manifest | None) -> bool:
    return rule is not None and bool(mapping(rule.spec.get("trafficPolicy")).get("outlierDetection"))


@check(
    "LT-CPL-182",
    "several services rest on one pod",
    WARNING,
    why="When it goes, all of them go with it.",
    fix="run at least two replicas of it",
)
def single_point(world: World) -> Iterator[Hit]:
    callers = defaultdict(set)
    for edges in graph.calls(world).values():
        for e in edges:
            callers[id(e.callee)].add(e.caller.name)
    for w in world.serving:
        found = callers.get(id(w), set())
        if len(found) > 1 and world.fewest(w) == 1 and not world.scalers(w) and w.kind != "DaemonSet":
            common = usual(world.serving, lambda x: world.fewest(x) > 1)
            declared = w.manifest.spec.get("replicas") == 1
            say = f"{', '.join(sorted(found))} call {w.name}, which has one replica"
            yield Hit(w.manifest, ("spec", "replicas"), say, WARNING if common or declared else INFO)


@check(
    "LT-CPL-188",
    "call into another namespace without a contract",
    WARNING,
    why="The other side does not know that it is called: it may change, rename or close it at any time.",
    fix="declare it there: a NetworkPolicy that names the caller's namespace, or a ReferenceGrant",
)
def foreign_call(world: World) -> Iterator[Hit]:
    for e in graph.edges(world):
        if e.caller.namespace != e.callee.namespace and not _agreed(world, e):
            yield Hit(e.at, e.path, f"{e.caller.name} calls {e.callee.namespace}/{e.callee.name}, which declares nothing of it")


def _agreed(world: World, e: Edge) -> bool:
    for p in policies.limiting(world, e.callee, "Ingress"):
        for rule in maps(p.spec.get("ingress")):
            for peer in maps(rule.get("from")):
                if peer.get("namespaceSelector") and policies.matches(world, world.namespace(p), peer, e.caller):
                    return True
    return False


@check(
    "LT-NET-068",
    "NetworkPolicy forbids a call that is configured",
    ERROR,
    why="The call is configured and cannot succeed: it ends in a timeout.",
    fix="allow the caller in the callee's ingress (and the callee in the caller's egress), or remove the setting",
)
def forbidden_call(world: World) -> Iterator[Hit]:
    for e in graph.edges(world):
        if by := policies.allowed(world, e.caller, e.callee):
            yield Hit(e.at, e.path, f"{e.caller.name} calls {e.callee.name}, which the NetworkPolicy {by} does not allow")


@check(
    "LT-CPL-247",
    "call to a Service that does not exist",
    ERROR,
    why="The name does not resolve: every call fails.",
    fix="correct the host, or add the Service",
)
def lost_call(world: World) -> Iterator[Hit]:
    names = {(world.namespace(s), s.name): s for s in world.services}
    kinds = {n for n, _ in names}
    for w in world.workloads if names else ():
        own = {str(p.get("name")) for c in w.containers for p in c.ports} | {c.name for c in w.containers}
        for manifest, path, _, text in graph.settings(world, w):
            if len(text) > 4096:
                continue
            for a in graph.addresses(text):
                parts = a.host.split(".")
                inside = parts[2:3] == ["svc"] and parts[1] in kinds
                short = len(parts) == 1 and bool(
                    a.scheme in ("http", "https", "grpc", "tcp", "redis", "postgres", "postgresql", "amqp", "mongodb")
                    or (a.port and a.alone)
                )
                if not (inside or short) or parts[0] in ("localhost", *own) or graph.named(names, w.namespace, a) is not None:
                    continue
                namespace = parts[1] if inside else w.namespace
                hint = nearest(parts[0], [n for s, n in names if s == namespace])
                if inside or hint:
                    say = f"{w.name} calls {a.host}, and there is no such Service{hint}"
                    yield Hit(manifest, path, say, ERROR if hint else WARNING)
                else:
                    yield Hit(manifest, path, f"{w.name} calls {a.host}, which is not among the manifests", INFO)


@check(
    "LT-CPL-248",
    "call to a port that the Service does not offer",
    ERROR,
    why="Connections to it are refused or time out.",
    fix="use a port of the Service",
)
def wrong_port(world: World) -> Iterator[Hit]:
    for e in graph.edges(world):
        ports = [p.get("port") for p in maps(e.service.spec.get("ports"))]
        if e.address.port and e.service.spec.get("clusterIP") != "None" and ports and e.address.port not in ports:
            shown = ", ".join(map(str, ports))
            yield Hit(e.at, e.path, f"{e.caller.name} calls {e.service.name} on {e.address.port}; it offers {shown}")


_VERSION = re.compile(r"/(?:api/)?(v\d+)(?:/|$)")


@check(
    "LT-CPL-186",
    "caller uses a version of the API that is gone",
    ERROR,
    why="The callee no longer answers this version: every call fails.",
    fix="move the caller to a version that the callee offers, or offer the old one until nobody calls it",
)
def gone_version(world: World) -> Iterator[Hit]:
    for e in graph.edges(world):
        found, offered = _VERSION.match(e.address.path), _offered(world, e)
        if found and offered and found.group(1) not in offered:
            say = f"{e.caller.name} calls {found.group(1)} of {e.service.name}, which offers {', '.join(sorted(offered))}"
            yield Hit(e.at, e.path, say)


def _offered(world: World, e: Edge) -> set[str]:
    """The versions that the callee declares: an annotation, or the paths that routes send to it."""
    text = (
        e.service.annotations.get("lateen.dev/api-versions") or e.callee.manifest.annotations.get("lateen.dev/api-versions") or ""
    )
    found = set(re.findall(r"v\d+", text))
    if found:
        return found
    for m in world.kind("HTTPRoute"):
        for rule in maps(m.spec.get("rules")):
            if any(b.get("name") == e.service.name for b in maps(rule.get("backendRefs"))):
                paths = [str(mapping(x.get("path")).get("value", "/")) for x in maps(rule.get("matches"))]
                versions = [v.group(1) for p in paths if (v := _VERSION.match(p))]
                if len(versions) < len(paths) or not paths:
                    return set()
                found |= set(versions)
    return found


@check(
    "LT-CPL-187",
    "objective cannot be met by what it depends on",
    ERROR,
    why="A service cannot be more available than the product of what it waits for.",
    fix="lower the objective, raise those of the dependencies, or make a dependency optional",
)
def objectives(world: World) -> Iterator[Hit]:
    from lateen.check.objectives import declared

    known = declared(world)
    for edges in graph.calls(world).values():
        w: Workload = edges[0].caller
        own = known.get((w.namespace, w.name))
        needed = {
            e.callee.name: known[e.callee.namespace, e.callee.name] for e in edges if (e.callee.namespace, e.callee.name) in known
        }
        product = 1.0
        for target in needed.values():
            product *= target.ratio
        if own and needed and product < own.ratio - 1e-9:
            say = f"{w.name} promises {own.ratio:.3%}, and {', '.join(sorted(needed))} together give {product:.3%}"
            yield Hit(own.manifest, own.path, say)
