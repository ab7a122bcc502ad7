"""The environment of a container, and the values of ``${...}`` references in it.

Addresses of services are left to Kubernetes' own service variables, ``$(CART_SERVICE_HOST)``: one manifest is right on every
cluster. Secrets are only ever referred to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lateen.model import Application, Service
from lateen.model.container import Container, EnvValue
from lateen.model.references import Reference, split
from lateen.render.names import variable

COLLECTOR = "http://opentelemetry-collector.observability.svc:4317"
_SCHEMES = {"http": "http", "http2": "http", "grpc": "grpc", "tcp": "tcp", "udp": "udp", "tls": "tls"}


def env(app: Application, name: str, file_secrets: dict[str, str]) -> list[dict[str, Any]]:
    """The container's ``env``: secrets that texts refer to, addresses of needed services, secrets, then what the user wrote.

    ``file_secrets`` maps a secret's target to the rendered Secret that holds it.
    """
    service = app.services[name]
    entries = _telemetry(app, name)
    for needed, need in service.needs.items():
        if needed in app.services:
            entries[f"{variable(needed)}_URL"] = _value(url(app, needed, need.port or ""))
        elif needed in app.spec.resources:
            entries[f"{variable(needed)}_URL"] = _value(output(app, needed, "url"))
    for target, source in service.secrets.items():
        if not target.startswith("/"):
            where, _, key = source.from_.partition("/") if not source.file else (file_secrets[target], "", target)
            entries[target] = _from("secretKeyRef", f"{where}/{key}", optional=source.optional)
    for key, value in service.env.items():
        entries[key] = _entry(value, app)
    helpers = {n: _from("secretKeyRef", key) for n, key in _secret_variables(app, service, service.needs).items()}
    return [{"name": n, **e} for n, e in (helpers | entries).items()]


def inner_env(app: Application, name: str, container: Container) -> list[dict[str, Any]]:
    """The ``env`` of an init container or a sidecar: what the user wrote for it."""
    entries = {key: _entry(value, app) for key, value in container.env.items()}
    helpers = {n: _from("secretKeyRef", key) for n, key in _secret_variables(app, container, ()).items()}
    return [{"name": n, **e} for n, e in (helpers | entries).items()]


def output(app: Application, resource: str, part: str) -> str:
    """The value of a resource's output: text, in which Kubernetes expands variables for what is secret or an address."""
    found = app.spec.resources[resource]
    own = found.class_ == "cluster"
    match part:
        case "host":
            return _host(resource) if own else found.outputs["host"]
        case "port":
            return f"$({variable(resource)}_SERVICE_PORT)" if own else found.outputs.get("port", str(found.kind.port))
        case "password":
            return f"$({password_variable(resource)})"
        case "url":
            return _resource_url(app, resource)
        case _:
            return found.outputs.get(part) or resource_default(app, part)


def resource_default(app: Application, part: str) -> str:
    """User, database and bucket are named after the application."""
    return app.name.replace("-", "_") if part == "database" else app.name


def credentials(app: Application, resource: str) -> str:
    """The Secret with a resource's password."""
    return app.spec.resources[resource].secret or f"{resource}-credentials"


def password_variable(resource: str) -> str:
    """The variable that holds a resource's password in the pods that refer to it."""
    return f"LATEEN_SECRET_{variable(resource)}_PASSWORD"


def has_password(app: Application, resource: str) -> bool:
    """Whether a resource is opened by a password: one of the cluster where its type has it, an external one that names a Secret."""
    found = app.spec.resources[resource]
    return "password" in found.kind.outputs and (found.class_ == "cluster" or found.secret is not None)


def _resource_url(app: Application, resource: str) -> str:
    kind = app.spec.resources[resource].kind
    user = output(app, resource, "user") if "user" in kind.outputs else ""
    login = f"{user}:{output(app, resource, 'password')}@" if has_password(app, resource) else ""
    path = "/" + output(app, resource, "database") if "database" in kind.outputs else ""
    return f"{kind.scheme}://{login}{output(app, resource, 'host')}:{output(app, resource, 'port')}{path}"


def _telemetry(app: Application, name: str) -> dict[str, dict[str, Any]]:
    """Where OpenTelemetry's libraries send traces, and as whom."""
    if not app.services[name].observe.traces:
        return {}
    attributes = f"service.namespace={app.name},deployment.environment.name={app.environment}"
    return {
        "OTEL_SERVICE_NAME": _value(name),
        "OTEL_RESOURCE_ATTRIBUTES": _value(attributes),
        "OTEL_EXPORTER_OTLP_ENDPOINT": _value(COLLECTOR),
    }


def expand(text: str, app: Application) -> str:
    """The text with every reference replaced by what Kubernetes will expand, or by its value."""
    return "".join(piece if isinstance(piece, str) else _replacement(piece, app) for piece in split(text))


def url(app: Application, service: str, port: str) -> str:
    """``http://$(CART_SERVICE_HOST):$(CART_SERVICE_PORT)``."""
    ports = app.services[service].ports
    protocol = ports[port or next(iter(ports))].protocol
    return f"{_SCHEMES[protocol]}://{_host(service)}:{_port(app, service, port)}"


def _host(service: str) -> str:
    return f"$({variable(service)}_SERVICE_HOST)"


def _port(app: Application, service: str, port: str) -> str:
    first = next(iter(app.services[service].ports))
    return f"$({variable(service)}_SERVICE_PORT{'' if port in ('', first) else '_' + variable(port)})"


def _replacement(reference: Reference, app: Application) -> str:
    match reference.root:
        case "services":
            service, port, part = reference.service
            return {"url": url(app, service, port), "host": _host(service), "port": _port(app, service, port)}[part]
        case "secrets":
            return f"$({_secret_variable(reference)})"
        case "resources":
            return output(app, reference.parts[1], reference.parts[2])
        case "env":
            return {"name": app.environment, "domain": app.domain}[reference.parts[1]]
        case _:
            return app.name


def _entry(value: EnvValue, app: Application) -> dict[str, Any]:
    if value.secret is not None:
        return _from("secretKeyRef", value.secret)
    if value.config is not None:
        return _from("configMapKeyRef", value.config)
    if value.field is not None:
        return {"valueFrom": {"fieldRef": {"fieldPath": value.field}}}
    pieces = list(split(value.value or ""))
    if len(pieces) == 1 and isinstance(pieces[0], Reference) and pieces[0].root == "secrets":
        return _from("secretKeyRef", "/".join(pieces[0].parts[1:]))
    return _value(expand(value.value or "", app))


def _value(text: str) -> dict[str, Any]:
    return {"value": text}


def _from(kind: str, reference: str, *, optional: bool = False) -> dict[str, Any]:
    name, _, key = reference.partition("/")
    return {"valueFrom": {kind: {"name": name, "key": key, **({"optional": True} if optional else {})}}}


def _secret_variables(app: Application, container: Service | Container, needs: Iterable[str]) -> dict[str, str]:
    """Variables for the secrets inside longer texts, which can only come from a variable."""
    found = {
        password_variable(n): f"{credentials(app, n)}/password" for n in needs if n in app.spec.resources and has_password(app, n)
    }
    for text in _texts(container):
        for piece in split(text):
            if isinstance(piece, Reference) and piece.root == "secrets":
                found[_secret_variable(piece)] = "/".join(piece.parts[1:])
            elif isinstance(piece, Reference) and piece.root == "resources" and has_password(app, piece.parts[1]):
                found[password_variable(piece.parts[1])] = f"{credentials(app, piece.parts[1])}/password"
    return dict(sorted(found.items()))


def _texts(container: Service | Container) -> Iterable[str]:
    for value in container.env.values():
        if value.value is not None and not _is_one_secret(value.value):
            yield value.value
    yield from container.command or ()
    yield from container.args or ()


def _is_one_secret(text: str) -> bool:
    pieces = list(split(text))
    return len(pieces) == 1 and isinstance(pieces[0], Reference) and pieces[0].root == "secrets"


def _secret_variable(reference: Reference) -> str:
    return "LATEEN_SECRET_" + "_".join(variable(p).replace(".", "_") for p in reference.parts[1:])
