"""Rules of texts with ``${...}`` references: what may stand where, and that it leads somewhere."""

from __future__ import annotations

from collections.abc import Iterator

from lateen.model import references
from lateen.model.application import Application
from lateen.model.container import Container
from lateen.model.problems import Path, Problem, dotted, nearest
from lateen.model.resource import SECRET_OUTPUTS
from lateen.model.service import Service


def rules(name: str, service: Service, app: Application) -> Iterator[Problem]:
    """Faults of the texts of one service."""
    at: Path = ("services", name)
    yield from _container(at, service, service, app)
    for field in ("init", "sidecars"):
        for inner, container in getattr(service, field).items():
            yield from _container((*at, field, inner), container, service, app)
    for path, file in service.config.items():
        yield from _texts((*at, "config", path, "template"), file.template or "", service, app, files=True)
    for i, route in enumerate(service.routes):
        yield from _texts((*at, "routes", i, "host"), route.host or "", service, app, files=True)
    if (preview := service.rollout.preview) is not None:
        yield from _texts((*at, "rollout", "preview", "host"), preview.host, service, app, files=True)


def _container(at: Path, container: Service | Container, service: Service, app: Application) -> Iterator[Problem]:
    for name, value in container.env.items():
        place = (*at, "env", name)
        given = [n for n in ("value", "secret", "config", "field") if getattr(value, n) is not None]
        if len(given) != 1:
            yield Problem(place, f"{dotted(place)} needs exactly one of value, secret, config and field")
        yield from _texts(place, value.value or "", service, app)
    for field in ("command", "args"):
        for i, text in enumerate(getattr(container, field) or ()):
            yield from _texts((*at, field, i), text, service, app)


def _texts(at: Path, text: str, service: Service, app: Application, *, files: bool = False) -> Iterator[Problem]:
    for reference in references.references(text):
        if files and reference.root in ("services", "secrets", "resources"):
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
    if reference.root == "resources":
        return _resource_reference(reference, own, service, app)
    return _service_reference(reference, own, service, app)


def _resource_reference(reference: references.Reference, own: str, service: Service, app: Application) -> tuple[str, str] | None:
    text, parts = reference.text, reference.parts
    if len(parts) != 3:
        return f"{text}: write ${{resources.NAME.OUTPUT}}", ""
    resource = app.spec.resources.get(parts[1])
    if resource is None or resource.type is None:
        return f"{text}: there is no resource {parts[1]!r}", nearest(parts[1], app.spec.resources)
    if parts[2] not in resource.kind.outputs:
        return f"{text}: {resource.type} has no output {parts[2]!r}", nearest(parts[2], resource.kind.outputs)
    if resource.class_ == "external" and parts[2] not in (*SECRET_OUTPUTS, "port") and parts[2] not in resource.outputs:
        return f"{text}: {parts[1]} is external and does not say its {parts[2]}", f"add it to resources.{parts[1]}.outputs"
    if parts[1] not in service.needs:
        return f"{text}: {own} does not say that it needs {parts[1]}", f"add {parts[1]} under needs"
    return None


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
