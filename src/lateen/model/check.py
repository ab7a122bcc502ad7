"""What pydantic cannot see: rules between fields and between services. Pure; each rule is a function that yields Problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lateen.model import references
from lateen.model.application import Application
from lateen.model.problems import Path, Problem, nearest
from lateen.model.service import ConfigFile, Probe, SecretSource, Service
from lateen.model.types import is_variable, slug

_RESERVED = ("default", "kube-system", "kube-public", "kube-node-lease")


def problems(app: Application) -> list[Problem]:
    """Every fault of the application, in no particular order."""
    found = [*_application(app), *_routes(app), *_cycles(app.services)]
    for name, service in app.services.items():
        found += _service(name, service, app)
    return found


def _application(app: Application) -> Iterator[Problem]:
    if app.namespace in _RESERVED or app.namespace.startswith("kube-"):
        yield Problem(("name",), f"{app.namespace!r} is a namespace of Kubernetes itself", "choose another name")
    if not app.services:
        yield Problem(("services",), "there are no services")


def _service(name: str, service: Service, app: Application) -> Iterator[Problem]:
    at: Path = ("services", name)
    if service.image is None and service.build is None:
        yield Problem(at, f"services.{name} needs an image, or build: the folder of its source", at_key=True)
    if service.replicas is not None and service.scale is not None:
        yield Problem((*at, "scale"), f"services.{name} has both replicas and scale", "they are the same: keep one", True)
    if service.kind == "web" and not service.ports:
        yield Problem((*at, "kind"), f"services.{name} is of kind web and has no ports", "add for example ports: {http: 8080}")
    yield from _ports(at, service)
    yield from _mounts(at, service)
    yield from _health(at, service)
    yield from _needs(at, service, app)
    yield from _env(at, service, app)
    yield from _rollout(at, service)


def _ports(at: Path, service: Service) -> Iterator[Problem]:
    seen: dict[tuple[str, int], str] = {}
    for name, port in service.ports.items():
        other = seen.setdefault((port.transport, port.port), name)
        if other != name:
            yield Problem((*at, "ports", name), f"{_at(at)}.ports: {other} and {name} are both port {port.port}/{port.transport}")


def _mounts(at: Path, service: Service) -> Iterator[Problem]:
    for path, file in service.config.items():
        yield from _config((*at, "config", path), file)
    for target, source in service.secrets.items():
        yield from _secret((*at, "secrets", target), target, source)
        if target in service.env:
            yield Problem((*at, "secrets", target), f"{_at(at)}: {target} is both in env and in secrets", at_key=True)
    places = [("config", p) for p in service.config] + [("storage", p) for p in service.storage]
    places += [("secrets", p) for p in service.secrets if p.startswith("/")]
    yield from _alike(at, places)
    seen: dict[str, str] = {}
    for field, path in places:
        if seen.setdefault(path, field) != field:
            yield Problem((*at, field, path), f"{_at(at)}: {path} is mounted by {seen[path]} and by {field}", at_key=True)


def _alike(at: Path, places: list[tuple[str, str]]) -> Iterator[Problem]:
    """Objects are named after paths: two paths of one field must not give one name."""
    seen: dict[tuple[str, str], str] = {}
    for field, path in places:
        other = seen.setdefault((field, slug(path)), path)
        if other != path:
            yield Problem(
                (*at, field, path), f"{_at(at)}: {other} and {path} are too alike", "change one beyond case and punctuation", True
            )


def _config(at: Path, file: ConfigFile) -> Iterator[Problem]:
    given = [n for n in ("content", "source", "template") if getattr(file, n) is not None]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none"
        yield Problem(at, f"{_at(at)} needs exactly one of content, source and template, {found}", at_key=True)
    for reference in references.references(file.template or ""):
        if reference.root in ("services", "secrets"):
            hint = "a file is the same for every pod: pass it as an environment variable"
            yield Problem((*at, "template"), f"{reference.text} has no value in a file", hint)


def _secret(at: Path, target: str, source: SecretSource) -> Iterator[Problem]:
    if not target.startswith("/") and not is_variable(target):
        yield Problem(at, f"{target!r} is neither an absolute path nor the name of an environment variable", at_key=True)
    name, slash, key = source.from_.partition("/")
    if not source.file and not (name and slash and key and "/" not in key):
        yield Problem((*at, "from"), f"{_at(at)}: {source.from_!r} names no secret", "write NAME/KEY of a Secret, or file:PATH")


def _health(at: Path, service: Service) -> Iterator[Problem]:
    for name, probe in (("ready", service.health.ready), ("live", service.health.live), ("startup", service.health.startup)):
        if probe is None:
            continue
        place = (*at, "health", name)
        given = [n for n in ("get", "tcp", "grpc", "exec") if getattr(probe, n) is not None]
        if len(given) != 1:
            yield Problem(place, f"{_at(place)} needs exactly one of get, tcp, grpc and exec")
            continue
        yield from _probe_port(place, probe, service)
        if name != "ready" and probe.successes != 1:
            yield Problem((*place, "successes"), f"{_at(place)}: Kubernetes allows only 1 success here")


def _probe_port(at: Path, probe: Probe, service: Service) -> Iterator[Problem]:
    if probe.exec is not None:
        return
    port = probe_port(probe)
    if port == "" and not service.ports:
        yield Problem(at, f"{_at(at)} names no port, and the service has none", "write for example GET /healthz:8080")
    elif isinstance(port, str) and port and port not in service.ports:
        yield Problem(at, f"{_at(at)}: the service has no port {port!r}", nearest(port, service.ports))


def probe_port(probe: Probe) -> int | str:
    """The port a probe names: a number, a port's name, or empty for the first port."""
    if probe.get is not None:
        text = probe.get.rpartition(":")[2] if ":" in probe.get else ""
    else:
        text = str(probe.tcp if probe.tcp is not None else probe.grpc).partition("/")[0]
    return int(text) if text.isdecimal() else text


def _needs(at: Path, service: Service, app: Application) -> Iterator[Problem]:
    for name, need in service.needs.items():
        place = (*at, "needs", name)
        target = app.services.get(name)
        if name == at[-1]:
            yield Problem(place, f"{_at(at)} needs itself", at_key=True)
        elif target is None and not need.optional:
            yield Problem(place, f"{_at(at)} needs {name!r}, which is not a service", nearest(name, app.services), True)
        elif target is not None and not target.ports:
            hint = f"add ports to {name}; something without ports cannot be called"
            yield Problem(place, f"{_at(at)} needs {name!r}, which has no ports", hint, True)
        elif target is not None and need.port is not None and need.port not in target.ports:
            yield Problem((*place, "port"), f"{name} has no port {need.port!r}", nearest(need.port, target.ports))


def _env(at: Path, service: Service, app: Application) -> Iterator[Problem]:
    for name, value in service.env.items():
        place = (*at, "env", name)
        given = [n for n in ("value", "secret", "config", "field") if getattr(value, n) is not None]
        if len(given) != 1:
            yield Problem(place, f"{_at(place)} needs exactly one of value, secret, config and field")
        yield from _texts(place, value.value or "", service, app)
    for field in ("command", "args"):
        for i, text in enumerate(getattr(service, field) or ()):
            yield from _texts((*at, field, i), text, service, app)
    for path, file in service.config.items():
        yield from _texts((*at, "config", path, "template"), file.template or "", service, app, files=True)
    for i, route in enumerate(service.routes):
        yield from _texts((*at, "routes", i, "host"), route.host or "", service, app, files=True)


def _texts(at: Path, text: str, service: Service, app: Application, *, files: bool = False) -> Iterator[Problem]:
    for reference in references.references(text):
        if files and reference.root in ("services", "secrets"):
            if at[-1] == "host":
                yield Problem(at, f"{reference.text} has no value in a host name")
            continue
        if message := _reference(reference, str(at[1]), service, app):
            yield Problem(at, message[0], message[1])


def _reference(reference: references.Reference, own: str, service: Service, app: Application) -> tuple[str, str] | None:
    text, parts = reference.text, reference.parts
    if not reference.closed:
        return f"{text!r} has no closing '}}'", "write $${ for a literal ${"
    if reference.root not in references.ROOTS:
        return f"{text}: unknown reference", nearest(reference.root, references.ROOTS) + "; write $${ for a literal ${"
    if reference.root == "env":
        return _env_reference(reference, app)
    if reference.root == "app":
        return None if parts[1:] == ("name",) else (f"{text}: unknown reference", "known: ${app.name}")
    if reference.root == "secrets":
        return None if len(parts) == 3 and all(parts) else (f"{text}: write ${{secrets.NAME.KEY}}", "")
    return _service_reference(reference, own, service, app)


def _env_reference(reference: references.Reference, app: Application) -> tuple[str, str] | None:
    if len(reference.parts) != 2 or reference.parts[1] not in references.ENV_PARTS:
        return f"{reference.text}: unknown reference", nearest(reference.parts[-1], references.ENV_PARTS)
    if reference.parts[1] == "domain" and not app.domain:
        return f"{reference.text}: the environment has no domain", "set environments.NAME.domain and choose it with --env"
    return None


def _service_reference(reference: references.Reference, own: str, service: Service, app: Application) -> tuple[str, str] | None:
    text, parts = reference.text, reference.parts
    if len(parts) not in (3, 4) or parts[-1] not in references.SERVICE_PARTS:
        return f"{text}: write ${{services.NAME[.PORT].url}}; also host and port", nearest(parts[-1], references.SERVICE_PARTS)
    name, port, _ = reference.service
    target = app.services.get(name)
    if target is None:
        return f"{text}: there is no service {name!r}", nearest(name, app.services)
    if port and port not in target.ports:
        return f"{text}: {name} has no port {port!r}", nearest(port, target.ports)
    if not target.ports:
        return f"{text}: {name} has no ports", ""
    if name != own and name not in service.needs:
        return f"{text}: {own} does not say that it needs {name}", f"add {name} under needs"
    return None


def _rollout(at: Path, service: Service) -> Iterator[Problem]:
    rollout = service.rollout
    if rollout.strategy == "rolling" and {rollout.surge, rollout.unavailable} <= {0, "0%"}:
        yield Problem((*at, "rollout"), f"{_at(at)}.rollout: with surge 0 and unavailable 0 no pod can ever be replaced")
    if rollout.deadline <= (rollout.min_ready or 0):
        yield Problem((*at, "rollout", "deadline"), f"{_at(at)}.rollout: the deadline must be longer than minReady")


def _routes(app: Application) -> Iterator[Problem]:
    seen: dict[tuple[str, ...], tuple[str, int]] = {}
    for name, service in app.services.items():
        for i, route in enumerate(service.routes):
            at: Path = ("services", name, "routes", i)
            path = route.path if route.match == "regex" else route.path.rstrip("/") or "/"
            other = seen.setdefault((route.gateway, route.host or "*", route.match, path), (name, i))
            if other != (name, i):
                where = f"{route.host or 'any host'} {route.path}"
                yield Problem(at, f"duplicate route: {where} of {name} belongs to {other[0]} already")
            if not service.ports:
                yield Problem(at, f"services.{name} has a route and no ports", "add for example ports: {http: 8080}")
            elif route.port is not None and route.port not in service.ports:
                yield Problem((*at, "port"), f"{name} has no port {route.port!r}", nearest(route.port, service.ports))
            if route.gateway not in app.spec.gateways:
                yield Problem((*at, "gateway"), f"there is no gateway {route.gateway!r}", nearest(route.gateway, app.spec.gateways))


def _cycles(services: Mapping[str, Service]) -> Iterator[Problem]:
    """A cycle of needs that wait for each other could never start. Depth-first search; one Problem per cycle found."""
    done: set[str] = set()
    for name in services:
        if cycle := _cycle(name, services, [], done):
            text = " -> ".join([*cycle, cycle[0]])
            hint = "break it with order: none on one of them"
            yield Problem(
                ("services", cycle[0], "needs", cycle[1 % len(cycle)]), f"services wait for each other: {text}", hint, True
            )


def _cycle(name: str, services: Mapping[str, Service], path: list[str], done: set[str]) -> list[str]:
    if name in path:
        return path[path.index(name) :]
    if name in done or name not in services:
        return []
    done.add(name)
    for needed, need in services[name].needs.items():
        waits = need.order == "ready" and not need.optional and needed != name
        if waits and (found := _cycle(needed, services, [*path, name], done)):
            return found
    return []


def _at(path: Path) -> str:
    return ".".join(str(p) for p in path)
