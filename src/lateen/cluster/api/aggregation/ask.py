"""One request to an extension API server, as kube-aggregator sends it: over TLS, with the front proxy's certificate and the user's
name in headers. Used by the ``forward`` proxy and by the ``keeper``."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, urlencode

import orjson

from lateen.client.seam import Request
from lateen.cluster.api.aggregation.services import Remote
from lateen.cluster.api.call import Backend
from lateen.cluster.api.outward.targets import dial
from lateen.cluster.api.outward.tls import secured
from lateen.cluster.api.streaming.http import Ask
from lateen.cluster.api.streaming.seam import Connection
from lateen.cluster.api.user import UserInfo

_NOT_OURS = ("x-remote-", "impersonate-", "x-forwarded-", "forwarded")


async def connected(backend: Backend, remote: Remote) -> Connection:
    """A connection to one of its endpoints. OSError, ValueError, UnreachableError."""
    trust = replace(backend.front_proxy, bundle=remote.bundle, insecure=remote.insecure)
    return await secured(await dial(backend, remote.target), trust, remote.target.host)


def ask_of(request: Request, user: UserInfo, remote: Remote) -> Ask:
    """The request as it is sent on: the caller's credentials stay here, who it is goes along."""
    headers = {k: v for k, v in request.headers.items() if not k.lower().startswith(_NOT_OURS)}
    if not request.headers:  # it came from inside the process
        headers = {"Accept": request.accept, "Content-Type": request.content_type, "User-Agent": request.user_agent}
    query = urlencode(request.query, doseq=True)
    target = quote(request.path, safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")
    return Ask(
        method=request.method,
        target=target,
        host=remote.target.host,
        headers=headers,
        body=_body(request),
        more=identity(user),
        upgrade=_upgrade(request),
    )


def _upgrade(request: Request) -> str:
    asked = request.headers.get("Connection", "").lower()
    return request.headers.get("Upgrade", "") if "upgrade" in asked else ""


def _body(request: Request) -> bytes:
    if request.body is None:
        return b""
    return request.body if isinstance(request.body, bytes) else orjson.dumps(request.body)


def identity(user: UserInfo) -> list[tuple[str, str]]:
    """The headers that say who asks."""
    found = [("X-Remote-User", user.name), *(("X-Remote-Group", group) for group in user.groups)]
    if user.uid:
        found.append(("X-Remote-Uid", user.uid))
    return found + [(f"X-Remote-Extra-{quote(key, safe='')}", quote(v)) for key, values in user.extra.items() for v in values]
