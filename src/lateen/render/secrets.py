"""Where the Secrets that services refer to come from: ExternalSecrets, where a store of external-secrets is named.

Values are never here. SealedSecrets and SOPS files are encrypted manifests of the user's: packages take them as they are.
"""

from __future__ import annotations

from typing import Any

from lateen.kube.meta import Object
from lateen.model import Application, Service
from lateen.model.application import SecretStore
from lateen.model.container import Container
from lateen.model.references import references
from lateen.render.backing import generated_passwords
from lateen.render.capabilities import EXTERNAL_SECRETS, Capabilities
from lateen.render.environment import credentials, has_password
from lateen.render.names import labels, obj, seconds

_API = "external-secrets.io/v1"


def external_secrets(app: Application, having: Capabilities) -> list[Object]:
    """An ExternalSecret for each Secret that something refers to; resources that lateen runs get a generated password."""
    store = app.secret_store
    if store is None or store.provider != "external-secrets" or EXTERNAL_SECRETS not in having:
        return []
    own = generated_passwords(app)
    found = [_external(app, store, name, sorted(keys)) for name, keys in sorted(referred(app).items()) if name not in own]
    return [*found, *(o for name in own for o in _generated(app, name))]


def referred(app: Application) -> dict[str, set[str]]:
    """Every Secret that services refer to, and its keys."""
    found: dict[str, set[str]] = {}

    def add(reference: str) -> None:
        name, _, key = reference.partition("/")
        found.setdefault(name, set()).add(key)

    for service in app.services.values():
        containers: list[Service | Container] = [service, *service.init.values(), *service.sidecars.values()]
        for container in containers:
            for value in container.env.values():
                if value.secret is not None:
                    add(value.secret)
            texts = [v.value or "" for v in container.env.values()] + [*(container.command or ()), *(container.args or ())]
            for text in texts:
                for reference in references(text):
                    if reference.root == "secrets":
                        add("/".join(reference.parts[1:]))
        for source in service.secrets.values():
            if not source.file:
                add(source.from_)
        for needed in service.needs:
            if needed in app.spec.resources and has_password(app, needed):
                add(f"{credentials(app, needed)}/password")
    return found


def _external(app: Application, store: SecretStore, name: str, keys: list[str]) -> Object:
    remote = store.prefix + name
    spec: dict[str, Any] = {
        "refreshInterval": f"{seconds(store.refresh)}s",
        "secretStoreRef": {"kind": store.kind, "name": store.name},
        "target": {"name": name, "creationPolicy": "Owner"},
        "data": [{"secretKey": key, "remoteRef": {"key": remote, "property": key}} for key in keys],
    }
    return obj(_API, "ExternalSecret", name, app=app, labels=labels(app, name, "secret"), spec=spec)


def _generated(app: Application, name: str) -> list[Object]:
    generator = obj(
        "generators.external-secrets.io/v1alpha1",
        "Password",
        name,
        app=app,
        labels=labels(app, name, "secret"),
        spec={"length": 32, "digits": 8, "symbols": 0, "noUpper": False, "allowRepeat": True},
    )
    reference = {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password", "name": name}
    spec = {
        "refreshInterval": "0s",
        "target": {"name": name, "creationPolicy": "Owner"},
        "dataFrom": [{"sourceRef": {"generatorRef": reference}}],
    }
    return [generator, obj(_API, "ExternalSecret", name, app=app, labels=labels(app, name, "secret"), spec=spec)]
