"""Rules between the fields of one service: what runs, its files, ports and health checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lateen.model import references
from lateen.model.container import ConfigFile, Container, Probe, SecretSource
from lateen.model.problems import Path, Problem, dotted, nearest
from lateen.model.service import Service
from lateen.model.types import is_variable, slug


def rules(name: str, service: Service) -> Iterator[Problem]:
    """Faults of one service by itself."""
    at: Path = ("services", name)
    if service.image is None and service.build is None:
        yield Problem(at, f"services.{name} needs an image, or build: the folder of its source", at_key=True)
    yield from _ports(at, service)
    yield from _mounts(at, service)
    yield from _health(at, service)
    for field in ("init", "sidecars"):
        yield from _containers((*at, field), name, getattr(service, field))


def _containers(at: Path, name: str, containers: Mapping[str, Container]) -> Iterator[Problem]:
    for inner, container in containers.items():
        place = (*at, inner)
        if inner == name:
            yield Problem(place, f"{dotted(place)} has the name of the service's own container", "choose another name", True)
        if at[-1] == "init" and container.before not in (None, "complete"):
            hint = "put it under sidecars, if it goes on running"
            yield Problem((*place, "before"), f"{dotted(place)}: an init container is waited for until it completes", hint)
        if at[-1] == "sidecars" and container.before == "complete":
            yield Problem((*place, "before"), f"{dotted(place)}: a sidecar does not complete", "put it under init")
        if container.before == "healthy" and container.health.startup is None and container.health.ready is None:
            yield Problem((*place, "before"), f"{dotted(place)} has no health check to wait for", "add health: {ready: GET /}")


def _ports(at: Path, service: Service) -> Iterator[Problem]:
    seen: dict[tuple[str, int], str] = {}
    for name, port in service.ports.items():
        other = seen.setdefault((port.transport, port.port), name)
        if other != name:
            yield Problem(
                (*at, "ports", name), f"{dotted(at)}.ports: {other} and {name} are both port {port.port}/{port.transport}"
            )


def _mounts(at: Path, service: Service) -> Iterator[Problem]:
    for path, file in service.config.items():
        yield from _config((*at, "config", path), file)
    for target, source in service.secrets.items():
        yield from _secret((*at, "secrets", target), target, source)
        if target in service.env:
            yield Problem((*at, "secrets", target), f"{dotted(at)}: {target} is both in env and in secrets", at_key=True)
    places = [("config", p) for p in service.config] + [("storage", p) for p in service.storage]
    places += [("secrets", p) for p in service.secrets if p.startswith("/")]
    yield from _alike(at, places)
    seen: dict[str, str] = {}
    for field, path in places:
        if seen.setdefault(path, field) != field:
            yield Problem((*at, field, path), f"{dotted(at)}: {path} is mounted by {seen[path]} and by {field}", at_key=True)


def _alike(at: Path, places: list[tuple[str, str]]) -> Iterator[Problem]:
    """Objects are named after paths: two paths of one field must not give one name."""
    seen: dict[tuple[str, str], str] = {}
    for field, path in places:
        other = seen.setdefault((field, slug(path)), path)
        if other != path:
            yield Problem(
                (*at, field, path),
                f"{dotted(at)}: {other} and {path} are too alike",
                "change one beyond case and punctuation",
                True,
            )


def _config(at: Path, file: ConfigFile) -> Iterator[Problem]:
    given = [n for n in ("content", "source", "template") if getattr(file, n) is not None]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none"
        yield Problem(at, f"{dotted(at)} needs exactly one of content, source and template, {found}", at_key=True)
    for reference in references.references(file.template or ""):
        if reference.root in ("services", "secrets", "resources"):
            hint = "a file is the same for every pod: pass it as an environment variable"
            yield Problem((*at, "template"), f"{reference.text} has no value in a file", hint)


def _secret(at: Path, target: str, source: SecretSource) -> Iterator[Problem]:
    if not target.startswith("/") and not is_variable(target):
        yield Problem(at, f"{target!r} is neither an absolute path nor the name of an environment variable", at_key=True)
    name, slash, key = source.from_.partition("/")
    if not source.file and not (name and slash and key and "/" not in key):
        yield Problem((*at, "from"), f"{dotted(at)}: {source.from_!r} names no secret", "write NAME/KEY of a Secret, or file:PATH")


def _health(at: Path, service: Service) -> Iterator[Problem]:
    for name, probe in (("ready", service.health.ready), ("live", service.health.live), ("startup", service.health.startup)):
        if probe is None:
            continue
        place = (*at, "health", name)
        given = [n for n in ("get", "tcp", "grpc", "exec") if getattr(probe, n) is not None]
        if len(given) != 1:
            yield Problem(place, f"{dotted(place)} needs exactly one of get, tcp, grpc and exec")
            continue
        yield from _probe_port(place, probe, service)
        if name != "ready" and probe.successes != 1:
            yield Problem((*place, "successes"), f"{dotted(place)}: Kubernetes allows only 1 success here")


def _probe_port(at: Path, probe: Probe, service: Service) -> Iterator[Problem]:
    if probe.exec is not None:
        return
    port = probe_port(probe)
    if port == "" and not service.ports:
        yield Problem(at, f"{dotted(at)} names no port, and the service has none", "write for example GET /healthz:8080")
    elif isinstance(port, str) and port and port not in service.ports:
        yield Problem(at, f"{dotted(at)}: the service has no port {port!r}", nearest(port, service.ports))


def probe_port(probe: Probe) -> int | str:
    """The port a probe names: a number, a port's name, or empty for the first port."""
    if probe.get is not None:
        text = probe.get.rpartition(":")[2] if ":" in probe.get else ""
    else:
        text = str(probe.tcp if probe.tcp is not None else probe.grpc).partition("/")[0]
    return int(text) if text.isdecimal() else text
