"""Passwords of the resources that run in the cluster: made once by ``up``, kept in a Secret, never rendered."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

from lateen.errors import NotFoundError
from lateen.kube.resources import SECRETS

if TYPE_CHECKING:
    from lateen.client import Client
    from lateen.model import Application

_BYTES = 24


async def passwords(client: Client, application: Application) -> list[dict[str, Any]]:
    """The Secret of each such resource: as it is in the cluster, or with a new random password."""
    from lateen.render.backing import backing_labels, generated_passwords
    from lateen.render.hidden import Hidden

    found = []
    for name, resource in generated_passwords(application).items():
        password = await _known(client, name, application.namespace) or secrets.token_urlsafe(_BYTES).encode()
        metadata = {"name": name, "namespace": application.namespace, "labels": backing_labels(application, resource)}
        data = {"password": Hidden(password)}
        found.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data})
    return found


async def _known(client: Client, name: str, namespace: str) -> bytes:
    try:
        secret = await client.get(SECRETS, name, namespace)
    except NotFoundError:
        return b""
    return base64.b64decode((secret.get("data") or {}).get("password") or "")
