"""What services share, and what ties their releases together: databases, volumes, configuration, images, addresses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from lateen.check import graph
from lateen.check.checks.config import references
from lateen.check.checks.images import parse
from lateen.check.exposure import is_store_image, service_ports, store
from lateen.check.family import repository, same, services
from lateen.check.finding import Hit, Severity
from lateen.check.manifest import Manifest, Path, mapping
from lateen.check.practice import on
from lateen.check.registry import check
from lateen.check.workload import Container, Workload
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


@dataclass(frozen=True, slots=True)
class Use:
    """A workload that uses something, and where that is written."""

    workload: Workload
    manifest: Manifest
    path: Path


def _families(world: World, uses: list[Use]) -> list[Use]:
    """One use per service."""
    kept = services(world, [u.workload for u in uses])
    return [next(u for u in uses if u.workload is w) for w in kept]


def _names(uses: list[Use]) -> str:
    return ", ".join(dict.fromkeys(u.workload.name for u in uses))


_DSN = re.compile(
    r"(?:jdbc:)?(?P<scheme>postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|sqlserver|oracle|cockroachdb|rediss?|clickhouse)(?:\+\w+)?://"
    r"(?:[^\s/@]*@)?(?P<host>[\w.\-]+)(?::\d+)?(?:/(?P<db>[\w\-]+))?",
    re.IGNORECASE,
)
_DSN_NAME = re.compile(
    r"(database|db|postgres|mysql|mongo)[a-z_]*(url|uri|dsn|connection|conn_?str)|^(dsn|database|connection_?string)", re.IGNORECASE
)
_HOST_NAME = re.compile(r"(db|database|postgres|pg|mysql|mongo|mssql)[a-z_]*_?host$|^PGHOST$", re.IGNORECASE)
_DB_NAME = re.compile(
    r"(db|database|postgres|pg|mysql|mongo|mssql)[a-z_]*(_name|_database|_db|_schema)$|^PGDATABASE$|^DB_NAME$", re.IGNORECASE
)


def _databases(world: World) -> dict[tuple[str, str], list[Use]]:
    """Who uses which (host, database). Several pods of one image are one user."""
    found: dict[tuple[str, str], list[Use]] = defaultdict(list)
    for w in world.serving:
        if store(w):
            continue
        host, database = None, ""
        for manifest, path, name, text in graph.settings(world, w):
            for m in _DSN.finditer(text):
                found[_host(w, m["host"]), f"{m['db'] or ''}{'' if not m['scheme'].startswith('redis') else ' (redis)'}"].append(
                    Use(w, manifest, path)
                )
            if _HOST_NAME.search(name) and re.fullmatch(r"[\w.\-]+(:\d+)?", text):
                host = (text.partition(":")[0], Use(w, manifest, path))
            elif _DB_NAME.search(name) and re.fullmatch(r"[\w\-]+", text):
                database = text
        if host:
            found[_host(w, host[0]), database].append(host[1])
        for c in w.containers:
            for i, e in enumerate(c.env):
                ref = mapping(mapping(e.get("valueFrom")).get("secretKeyRef"))
                if ref and _DSN_NAME.search(str(e.get("name"))):
                    key = (f"Secret {w.namespace}/{ref.get('name')}", str(ref.get("key")))
                    found[key].append(Use(w, w.manifest, (*c.path, "env", i)))
    return found


def _host(w: Workload, host: str) -> str:
    """One name for one host: the short and the long names of a Service are the same."""
    parts = host.split(".")
    if len(parts) == 1:
        return f"{host}.{w.namespace}"
    return ".".join(parts[:2]) if parts[2:3] == ["svc"] else host


@check(
    "LT-CPL-169",
    "two services use one database",
    ERROR,
    why="The schema becomes the interface: neither can change its tables, scale or be restored without the other.",
    fix="give each service its own database, and let one ask the other through its API or events",
)
def shared_database(world: World) -> Iterator[Hit]:
    for (host, database), uses in _databases(world).items():
        distinct = _families(world, uses)
        if len(distinct) > 1:
            cache = "(redis)" in database
            name = database.removesuffix(" (redis)")
            what = host.removesuffix(".default") + (f"/{name}" if name else "")
            say = f"{_names(distinct)} use the same database {what}"
            yield Hit(distinct[1].manifest, distinct[1].path, say, WARNING if cache else None)


@check(
    "LT-CPL-170",
    "two services mount one volume",
    ERROR,
    why="Files are an interface without a version: one writes what the other cannot read, and both lock each other.",
    fix="let one service own the files and serve them; or use object storage with a contract",
)
def shared_volume(world: World) -> Iterator[Hit]:
    users: dict[tuple[str, str], list[Use]] = defaultdict(list)
    for w in world.serving:
        for i, v in enumerate(w.volumes):
            if claim := mapping(v.get("persistentVolumeClaim")).get("claimName"):
                users[w.namespace, str(claim)].append(
                    Use(w, w.manifest, w.path("volumes", i, "persistentVolumeClaim", "claimName"))
                )
    for (_, claim), uses in users.items():
        distinct = _families(world, uses)
        if len(distinct) > 1:
            yield Hit(distinct[1].manifest, distinct[1].path, f"{_names(distinct)} mount the same volume {claim}")


_COMMON = re.compile(
    r"(^|[-_.])(ca|certs?|trust|tls|registry|pull|otel|telemetry|tracing|root-ca)([-_.]|$)|kube-root-ca", re.IGNORECASE
)


@check(
    "LT-CPL-171",
    "services share a ConfigMap or Secret",
    WARNING,
    why="A change for one changes the other; a credential that leaks from one is the other's too.",
    fix="give each service its own, with only what it needs",
)
def shared_config(world: World) -> Iterator[Hit]:
    users: dict[tuple[str, str, str], list[Use]] = defaultdict(list)
    for w in world.serving:
        for kind, name, _, path in references(w):
            users[w.namespace, kind, name].append(Use(w, w.manifest, path))
    for (_, kind, name), uses in users.items():
        distinct = _families(world, uses)
        if len(distinct) > 1 and not _COMMON.search(name):
            owner = [u for u in distinct if store(u.workload)]
            if owner and len(distinct) == 2:
                continue  # a database and its one client share the password by nature
            yield Hit(distinct[1].manifest, distinct[1].path, f"{_names(distinct)} share the {kind} {name}")


_WAITS = re.compile(r"\b(until|while)\b|wait[-_]?for|dockerize|pg_isready|\bnc\s+-\w*z|kubectl\s+(rollout|wait)|nslookup|getent")


@check(
    "LT-CPL-176",
    "start waits for another service",
    WARNING,
    why="The order of starts becomes a dependency: after an outage nothing comes up before everything else is up.",
    fix="let the service start alone, say that it is not ready, and try again",
)
def waits(world: World) -> Iterator[Hit]:
    hosts = {s.name: s for s in world.services}
    for c in world.containers:
        text = " ".join(c.words())
        waiting = _WAITS.search(text) or (c.init and re.search(r"wait|check-", c.name) and text)
        if not waiting or c.sidecar:
            continue
        own = {s.name for s in world.fronts(c.workload)}
        named = [n for n in hosts if n not in own and re.search(rf"(?<![\w-]){re.escape(n)}(?![\w-])", text)]
        if named or (c.init and _remote(text)):
            yield on(c, "command", say=f"waits for {', '.join(named) or _remote(text)} before the pod starts")


def _remote(text: str) -> str:
    found = re.search(r"(?:https?://|nc\s+(?:-\S+\s+)*|-h\s+|nslookup\s+)([a-z][\w.\-]*)", text)
    return found.group(1) if found and found.group(1) != "localhost" else ""


_IP = re.compile(
    r"(?<![\d.])((?:10|172\.(?:1[6-9]|2\d|3[01])|192\.168)(?:\.\d{1,3}){2,3}|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d{1,3}\.\d{1,3})(?![\d./]*/\d)(:\d+)?(?![\d.])"
)
_LOCAL = re.compile(r"(?:localhost|127\.0\.0\.1):(\d{2,5})")


@check(
    "LT-CPL-177",
    "address written by hand",
    WARNING,
    why="Addresses of pods and nodes change with every restart; localhost means this pod only.",
    fix="use the name of the Service",
)
def fixed_address(world: World) -> Iterator[Hit]:
    offered = {n for s in world.services for n in service_ports(s)}
    for w in world.workloads:
        inside = {n for c in w.containers for p in c.ports if isinstance(n := p.get("containerPort"), int)}
        for manifest, path, name, text in graph.settings(world, w):
            found = _IP.search(text)
            if found and not re.search(
                r"cidr|subnet|network|range|proxy_?ip|trusted|no_?proxy|allow|bind|listen", name, re.IGNORECASE
            ):
                yield Hit(manifest, path, f"{w.name} uses the address {found.group(0)} in {name or 'its arguments'}")
            for port in map(int, _LOCAL.findall(text)):
                alone = len(w.containers) == 1 and port not in inside and port in offered and inside
                if alone and not re.search(r"bind|listen|addr$", name, re.IGNORECASE):
                    yield Hit(manifest, path, f"{w.name} calls localhost:{port}, where nothing of its pod listens")


_SIDECARS = re.compile(
    r"proxy|envoy|istio|linkerd|fluent|filebeat|promtail|otel|opentelemetry|jaeger|exporter|agent|sidecar|reloader|git-?sync|vector|"
    r"statsd|cloud-?sql|oauth2|log|metrics|nginx|dapr|consul|vault|csi-|rbac|webhook-certs|busybox|backup|config|monitor|collector"
)


@check(
    "LT-CPL-183",
    "pod runs two services",
    WARNING,
    why="They scale, fail and are released together though they are two things.",
    fix="give each a workload of its own",
)
def two_services(world: World) -> Iterator[Hit]:
    for w in world.serving:
        business = [c for c in w.main if c.ports and not _SIDECARS.search(f"{c.name} {c.image.rpartition('/')[2]}")]
        if len({repository(c.image) for c in business}) > 1:
            names = ", ".join(c.name for c in business)
            stores = [c for c in business if is_store_image(c.image)]
            say = f"the pod runs {names}" + (f": {stores[0].name} lives and dies with each replica" if stores else "")
            yield Hit(w.manifest, business[1].path, say)


@check(
    "LT-CPL-185",
    "all services carry one version",
    WARNING,
    why="One version for all means that a change of one releases all: nothing can be rolled back alone.",
    fix="version each service by its own content",
)
def lock_step(world: World) -> Iterator[Hit]:
    groups: dict[tuple[str, str], list[Container]] = defaultdict(list)
    for w in world.serving:
        for c in w.main:
            image = parse(c.image)
            if image.tag and not is_store_image(c.image) and "/" in image.repository:
                groups[w.namespace, f"{image.registry}/{image.repository.rpartition('/')[0]}"].append(c)
    for (_, where), found in groups.items():
        tags = {parse(c.image).tag for c in found}
        repositories = {repository(c.image) for c in found}
        if len(tags) == 1 and len(repositories) >= 4 and not tags & {"latest", "main", "stable"}:
            yield on(
                found[0], "image", say=f"and {len(repositories) - 1} other services of {where} all have the version {tags.pop()}"
            )


@check(
    "LT-CPL-249",
    "service reads another's store",
    ERROR,
    why="A store that belongs to one service and is read by another is a shared database under another name.",
    fix="ask the owner through its API, or subscribe to its events",
)
def foreign_store(world: World) -> Iterator[Hit]:
    for e in graph.edges(world):
        if not store(e.callee) or graph.is_broker(e.callee) or not e.caller.serves:
            continue
        owner = _owner(world, e.callee)
        if owner is not None and owner is not e.caller and not same(world, owner, e.caller):
            yield Hit(e.at, e.path, f"{e.caller.name} uses {e.callee.name}, the store of {owner.name}")


def _owner(world: World, w: Workload) -> Workload | None:
    """The service that a store is named after (``orders-db`` belongs to ``orders``), when it uses it."""
    base = re.sub(r"[-_]?(db|database|postgres(ql)?|mysql|mariadb|mongo(db)?|redis|store|data|cache|pg)$", "", w.name)
    users = [e.caller for e in graph.edges(world) if e.callee is w and e.caller.serves]
    if base == w.name or not base:
        return None
    return next((u for u in users if u.name in (base, f"{base}-service", f"{base}service", f"{base}-api") and u is not w), None)
