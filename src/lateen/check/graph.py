"""Who calls whom, as the manifests tell: addresses of Services in variables, arguments and configuration of workloads.

An address counts when it is unmistakable: with a scheme, a port or a namespace, or alone in a variable that is named like one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lateen.check.exposure import store
from lateen.check.manifest import Manifest, Path, mapping, maps
from lateen.check.workload import Workload
from lateen.check.world import World

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_ADDRESS = re.compile(
    rf"(?:(?P<scheme>[a-z][a-z0-9+.\-]*)://(?:[^\s/@]*@)?|(?<![\w./\-]))(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>\d{{2,5}}))?(?P<path>/[^\s\"',;?]*)?"
)
_NAMED_LIKE_ONE = re.compile(
    r"(host|addr|address|url|uri|endpoint|server|service|upstream|backend|target|broker|bootstrap)s?$", re.IGNORECASE
)
_BROKERS = ("kafka", "rabbitmq", "nats", "activemq", "pulsar", "mosquitto", "sqs")


@dataclass(frozen=True, slots=True)
class Address:
    """A host that some text names. ``alone``: the text is nothing else."""

    host: str
    port: int
    scheme: str
    path: str
    alone: bool


@dataclass(frozen=True)
class Edge:
    """A call. ``at`` and ``path`` are where the manifests say so; ``variable`` the name of the setting."""

    caller: Workload
    callee: Workload
    service: Manifest
    at: Manifest
    path: Path
    variable: str
    address: Address

    @property
    def waits(self) -> bool:
        """Whether the caller waits for an answer from another service (not a store, not a broker)."""
        return not store(self.callee)


@lru_cache(maxsize=65536)
def addresses(text: str) -> tuple[Address, ...]:
    """What may be addresses in a text."""
    found = []
    for m in _ADDRESS.finditer(text):
        if m["host"].isdigit():
            continue
        whole = m.group(0) == text.strip()
        found.append(Address(m["host"], int(m["port"] or 0), m["scheme"] or "", m["path"] or "", whole))
    return tuple(found)


_SERVICE_VARIABLES = re.compile(r"\$[({]([A-Z][A-Z0-9_]*)_SERVICE_HOST[)}](?::\$[({]\1_SERVICE_PORT(?:_\w+)?[)}])?")


def settings(world: World, w: Workload) -> Iterator[tuple[Manifest, Path, str, str]]:
    """(object, path, name, text) of everything that configures the pods: variables, arguments, their ConfigMaps.

    ``$(CART_SERVICE_HOST)``, the variable that Kubernetes sets, is replaced by the name of the Service.
    """
    for manifest, path, name, text in _settings(world, w):
        if "_SERVICE_HOST" in text:
            text = _SERVICE_VARIABLES.sub(lambda m: m[1].lower().replace("_", "-"), text)
        yield manifest, path, name, text


def _settings(world: World, w: Workload) -> Iterator[tuple[Manifest, Path, str, str]]:
    configs: set[str] = set()
    for c in w.containers:
        for i, e in enumerate(c.env):
            if isinstance(e.get("value"), str):
                yield w.manifest, (*c.path, "env", i, "value"), str(e.get("name")), e["value"]
            if ref := mapping(mapping(e.get("valueFrom")).get("configMapKeyRef")):
                found = world.get("ConfigMap", w.namespace, str(ref.get("name")))
                value = mapping(found.data.get("data")).get(str(ref.get("key"))) if found else None
                if found is not None and isinstance(value, str):
                    yield found, ("data", str(ref.get("key"))), str(e.get("name")), value
        for key, i, word in c.arguments():
            name, equals, value = word.partition("=")
            yield (
                w.manifest,
                (*c.path, key, i),
                name.lstrip("-") if equals else "",
                value if equals and word.startswith("-") else word,
            )
        configs |= {str(mapping(e.get("configMapRef")).get("name")) for e in maps(c.data.get("envFrom")) if e.get("configMapRef")}
    configs |= {str(mapping(v.get("configMap")).get("name")) for v in w.volumes if v.get("configMap")}
    for name in sorted(configs):
        if found := world.get("ConfigMap", w.namespace, name):
            for key, value in mapping(found.data.get("data")).items():
                if isinstance(value, str):
                    yield found, ("data", key), key, value


def edges(world: World) -> Sequence[Edge]:
    """Every call between workloads in sight, once per pair and Service; kept with the world."""
    if "_edges" not in world.__dict__:
        world.__dict__["_edges"] = list(_edges(world))
    found: Sequence[Edge] = world.__dict__["_edges"]
    return found


def _edges(world: World) -> Iterator[Edge]:
    names: Mapping[tuple[str, str], Manifest] = {(world.namespace(s), s.name): s for s in world.services}
    for w in world.workloads if names else ():
        seen: set[tuple[int, int]] = set()
        for manifest, path, variable, text in settings(world, w):
            for address in addresses(text):
                service = named(names, w.namespace, address)
                if service is None or not certain(address, variable):
                    continue
                for callee in world.behind(service) or _meant(world, service):
                    if callee is not w and (id(callee), id(service)) not in seen:
                        seen.add((id(callee), id(service)))
                        yield Edge(w, callee, service, manifest, path, variable, address)


def _meant(world: World, service: Manifest) -> list[Workload]:
    """Behind a Service whose selector is wrong: the workload of its name (that the selector is wrong is another finding)."""
    return [w for w in world.in_namespace(world.namespace(service)) if w.name == service.name and w.serves]


def named(names: Mapping[tuple[str, str], Manifest], namespace: str, address: Address) -> Manifest | None:
    """The Service of an address, as the cluster's DNS would find it."""
    parts = address.host.split(".")
    if len(parts) == 1:
        return names.get((namespace, parts[0]))
    if len(parts) == 2 or parts[2:3] == ["svc"]:
        return names.get((parts[1], parts[0]))
    if parts[3:4] == ["svc"]:  # a pod of a StatefulSet
        return names.get((parts[2], parts[1]))
    return None


def certain(address: Address, variable: str) -> bool:
    """Whether the text means an address, not a word that happens to be a name."""
    if address.scheme or address.port or "." in address.host:
        return True
    return address.alone and bool(_NAMED_LIKE_ONE.search(variable))


def calls(world: World) -> Mapping[int, list[Edge]]:
    """The edges that wait for an answer, by caller."""
    found: dict[int, list[Edge]] = defaultdict(list)
    for e in edges(world):
        if e.waits and e.caller.serves:
            found[id(e.caller)].append(e)
    return found


def is_broker(w: Workload) -> bool:
    """Whether the workload passes messages on, which uncouples."""
    return any(b in c.image for c in w.main for b in _BROKERS)


def cycles(world: World) -> Iterator[list[Edge]]:
    """The cycles of calls: one per group of services that call each other in a circle, as the edges of a shortest circle."""
    out = calls(world)
    for group in _components(out):
        members = set(group)
        start = min((e for i in group for e in out[i] if id(e.callee) in members), key=lambda e: (e.caller.name, e.callee.name))
        if circle := _way(out, id(start.callee), id(start.caller), members):
            yield [start, *circle]


def _way(out: Mapping[int, list[Edge]], source: int, target: int, within: set[int]) -> list[Edge]:
    ways: dict[int, list[Edge]] = {source: []}
    queue = [source]
    for node in queue:
        for e in out.get(node, ()):
            if id(e.callee) in within and id(e.callee) not in ways:
                ways[id(e.callee)] = [*ways[node], e]
                queue.append(id(e.callee))
    return ways.get(target, [])


def _components(out: Mapping[int, list[Edge]]) -> list[list[int]]:
    """Strongly connected groups of more than one (Tarjan, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []
    for root in out:
        if root in index:
            continue
        work: list[tuple[int, Iterator[int]]] = [(root, iter([id(e.callee) for e in out[root]]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            node, rest = work[-1]
            nxt = next(rest, None)
            if nxt is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group = stack[stack.index(node) :]
                    del stack[stack.index(node) :]
                    if len(group) > 1:
                        found.append(group)
            elif nxt not in index:
                index[nxt] = low[nxt] = len(index)
                stack.append(nxt)
                work.append((nxt, iter([id(e.callee) for e in out.get(nxt, ())])))
            elif nxt in stack:
                low[node] = min(low[node], index[nxt])
    return found


def longest(world: World) -> list[Edge]:
    """The longest chain of calls (circles are walked once)."""
    out = calls(world)
    best: dict[int, list[Edge]] = {}

    def chain(node: int, above: frozenset[int]) -> list[Edge]:
        if node in best:
            return best[node]
        options = [[e, *chain(id(e.callee), above | {node})] for e in out.get(node, ()) if id(e.callee) not in above | {node}]
        found: list[Edge] = max(options, key=len, default=[])
        if not above & {id(e.callee) for e in out.get(node, ())}:
            best[node] = found
        return found

    return max((chain(node, frozenset()) for node in list(out)), key=len, default=[])
