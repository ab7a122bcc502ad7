"""The environment of a container, and the values of ``${...}`` references in it.

Addresses of services are left to Kubernetes' own service variables, ``$(CART_SERVICE_HOST)``: one manifest is right on every
cluster. Secrets are only ever referred to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lateen.model import Application, Service
from lateen.model.references import Reference, split
from lateen.model.service import EnvValue
from lateen.render.names import variable

_SCHEMES = {"http": "http", "http2": "http", "grpc": "grpc", "tcp": "tcp", "udp": "udp", "tls": "tls"}


def env(app: Application, name: str, file_secrets: dict[str, str]) -> list[dict[str, Any]]:
    """The container's ``env``: secrets that texts refer to, addresses of needed services, secrets, then what the user wrote.

    ``file_secrets`` maps a secret's target to the rendered Secret that holds it.
    """
    service = app.services[name]
    entries = {f"{variable(n)}_URL": _value(url(app, n, need.port or "")) for n, need in service.needs.items() if n in app.services}
    for target, source in service.secrets.items():
        if not target.startswith("/"):
            where, _, key = source.from_.partition("/") if not source.file else (file_secrets[target], "", target)
            entries[target] = _from("secretKeyRef", f"{where}/{key}", optional=source.optional)
    for key, value in service.env.items():
        entries[key] = _entry(value, app)
    helpers = {n: _from("secretKeyRef", key) for n, key in _secret_variables(service).items()}
    return [{"name": n, **e} for n, e in (helpers | entries).items()]


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


def _secret_variables(service: Service) -> dict[str, str]:
    """Variables for the secrets inside longer texts, which can only come from a variable."""
    found: dict[str, str] = {}
    for text in _texts(service):
        pieces = list(split(text))
        for piece in pieces:
            if isinstance(piece, Reference) and piece.root == "secrets":
                found[_secret_variable(piece)] = "/".join(piece.parts[1:])
    return dict(sorted(found.items()))


def _texts(service: Service) -> Iterable[str]:
    for value in service.env.values():
        if value.value is not None and len(list(split(value.value))) > 1:
            yield value.value
    yield from service.command or ()
    yield from service.args or ()


def _secret_variable(reference: Reference) -> str:
    return "LATEEN_SECRET_" + "_".join(variable(p).replace(".", "_") for p in reference.parts[1:])
