"""Rules of the application as a whole: its name, resources, environments, patches, and what its policies require."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lateen.model.application import Application
from lateen.model.base import Model
from lateen.model.patch import Patch
from lateen.model.problems import Path, Problem, dotted, nearest
from lateen.model.resource import SECRET_OUTPUTS

_RESERVED = ("default", "kube-system", "kube-public", "kube-node-lease")


def rules(app: Application) -> Iterator[Problem]:
    """Faults of the application apart from its services."""
    if app.namespace in _RESERVED or app.namespace.startswith("kube-"):
        yield Problem(("name",), f"{app.namespace!r} is a namespace of Kubernetes itself", "choose another name")
    if not app.services:
        yield Problem(("services",), "there are no services")
    yield from _resources(app)
    yield from _environments(app)
    yield from _secrets(app)
    places: list[tuple[Path, Sequence[Patch]]] = [((), app.spec.patches)]
    places += [(("services", n), s.patches) for n, s in app.services.items()]
    for at, patches in places:
        for i, patch in enumerate(patches):
            if (patch.merge is None) == (patch.json_ is None):
                where: Path = (*at, "patches", i)
                yield Problem(where, f"{dotted(where)} needs exactly one of merge and json")
    for i, field in enumerate(app.spec.policies.required):
        yield from _required(app, i, field)


def _resources(app: Application) -> Iterator[Problem]:
    for name, resource in app.spec.resources.items():
        at: Path = ("resources", name)
        if resource.type is None:
            yield Problem(at, f"resources.{name} needs the field 'type'", at_key=True)
            continue
        if name in app.services:
            yield Problem(at, f"{name!r} is both a service and a resource", "their objects would have one name", True)
        known = [o for o in resource.kind.outputs if o not in SECRET_OUTPUTS]
        for output in resource.outputs:
            if output in SECRET_OUTPUTS:
                hint = "put it into a Secret and name that under secret"
                yield Problem((*at, "outputs", output), f"resources.{name}.outputs: {output} is a secret", hint, True)
            elif output not in known:
                yield Problem((*at, "outputs", output), f"{resource.type} has no output {output!r}", nearest(output, known), True)
        if resource.class_ == "external" and "host" not in resource.outputs:
            hint = "add outputs: {host: db.example.com}"
            yield Problem((*at, "outputs"), f"resources.{name} is external and does not say its host", hint)
        if resource.class_ == "cluster" and resource.outputs:
            hint = "leave them out, or set class: external"
            yield Problem((*at, "outputs"), f"resources.{name} runs in the cluster: its outputs are known", hint)


def _environments(app: Application) -> Iterator[Problem]:
    known = app.spec.environments
    for name, environment in known.items():
        base = environment.from_
        if base is not None and base not in known:
            yield Problem(("environments", name, "from"), f"there is no environment {base!r}", nearest(base, known))
        promote = environment.promote
        if promote is not None and promote.from_ not in (None, "build", *known):
            hint = nearest(str(promote.from_), ["build", *known])
            yield Problem(("environments", name, "promote", "from"), f"there is no environment {promote.from_!r}", hint)


def _secrets(app: Application) -> Iterator[Problem]:
    store = app.spec.secrets
    if store is not None and store.provider == "external-secrets" and store.name is None:
        yield Problem(("secrets",), "secrets: external-secrets needs the name of a store", at_key=True)


def _required(app: Application, index: int, field: str) -> Iterator[Problem]:
    for name, service in app.services.items():
        value: Any = service
        for step in field.split("."):
            if not isinstance(value, Model):
                break
            names = {info.alias or n: n for n, info in type(value).model_fields.items()}
            if step not in names:
                yield Problem(("policies", "required", index), f"a service has no field {field!r}", nearest(step, names))
                return
            value = getattr(value, names[step]) if names[step] in value.model_fields_set else None
        if value in (None, [], {}):
            yield Problem(("services", name), f"services.{name} needs {field}: policies.required says so", at_key=True)
