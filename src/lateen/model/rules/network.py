"""Rules of what services call and how they are reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lateen.model.application import Application
from lateen.model.problems import Path, Problem, dotted, nearest
from lateen.model.service import Service


def rules(name: str, service: Service, app: Application) -> Iterator[Problem]:
    """Faults of what one service calls."""
    yield from _needs(("services", name), service, app)
    for i, external in enumerate(service.external):
        at: Path = ("services", name, "external", i)
        if (external.host is None) == (external.cidr is None):
            yield Problem(at, f"{dotted(at)} needs exactly one of host and cidr")


def between(app: Application) -> Iterator[Problem]:
    """Faults between services: routes that collide, needs that wait for each other."""
    yield from _routes(app)
    yield from _cycles(app.services)


def _needs(at: Path, service: Service, app: Application) -> Iterator[Problem]:
    for name, need in service.needs.items():
        place = (*at, "needs", name)
        target = app.services.get(name)
        if name == at[-1]:
            yield Problem(place, f"{dotted(at)} needs itself", at_key=True)
        elif name in app.spec.resources:
            if need.port is not None:
                yield Problem((*place, "port"), f"{name} is a resource: it has one port", at_key=True)
        elif target is None and not need.optional:
            hint = nearest(name, [*app.services, *app.spec.resources])
            yield Problem(place, f"{dotted(at)} needs {name!r}, which is not a service", hint, True)
        elif target is not None and target.role in ("job", "cron"):
            yield Problem(place, f"{dotted(at)} needs {name!r}, which is a {target.role}: it cannot be called", at_key=True)
        elif target is not None and not target.ports:
            hint = f"add ports to {name}; something without ports cannot be called"
            yield Problem(place, f"{dotted(at)} needs {name!r}, which has no ports", hint, True)
        elif target is not None and need.port is not None and need.port not in target.ports:
            yield Problem((*place, "port"), f"{name} has no port {need.port!r}", nearest(need.port, target.ports))


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
            if route.rewrite is not None and route.match == "regex":
                yield Problem((*at, "rewrite"), f"{dotted(at)}: a path that matches by regex cannot be rewritten", at_key=True)
            if route.tls != "off" and route.host is None:
                yield Problem((*at, "tls"), f"{dotted(at)}: a certificate needs a host", "add host", True)
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
        waits = need.order != "none" and not need.optional and needed != name
        if waits and (found := _cycle(needed, services, [*path, name], done)):
            return found
    return []
