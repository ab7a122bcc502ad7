"""Paths that are no resources: health, metrics, version, discovery, OpenAPI. Used by ``server`` when a path names no resource."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lateen.client.seam import Request
from lateen.cluster.api import statuses
from lateen.cluster.api.auth.tokens import openid_configuration
from lateen.cluster.api.call import Answer
from lateen.cluster.api.discovery.openapi import serve
from lateen.cluster.api.discovery.pages import discover
from lateen.cluster.api.version import VERSION

if TYPE_CHECKING:
    from lateen.cluster.api.server import ApiServer

Page = Callable[["ApiServer", Request], Answer]
_TEXT = "text/plain; charset=utf-8"


def version_info() -> dict[str, Any]:
    """What ``/version`` says; the schemas' version, because that is what clients ask for."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    unknown = dict.fromkeys(("gitCommit", "gitTreeState", "buildDate", "goVersion"), "")
    skew = {"emulationMajor": "1", "emulationMinor": "37", "minCompatibilityMajor": "1", "minCompatibilityMinor": "36"}
    return {**VERSION, **skew, **unknown, "compiler": "python", "platform": f"linux/{machine}"}


def _version(server: ApiServer, request: Request) -> Answer:
    return Answer(obj=version_info())


def _metrics(server: ApiServer, request: Request) -> Answer:
    counts = {
        s.resource.group_resource: server.backend.storage.count(s.prefix()) for s in server.backend.registry if not s.converts
    }
    text = server.metrics.render(objects=counts, watchers=len(server.backend.streams))
    return Answer(raw=text.encode(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _health(server: ApiServer, request: Request) -> Answer:
    path, _, only = request.path.strip("/").partition("/")
    exclude = request.query.get("exclude", ())
    status, text = server.health.report(
        path, verbose="verbose" in request.query, exclude=(exclude,) if isinstance(exclude, str) else exclude, only=only
    )
    return Answer(status=status, raw=text.encode(), content_type=_TEXT)


def _oidc(server: ApiServer, request: Request) -> Answer:
    if request.path != "/.well-known/openid-configuration":
        raise statuses.no_such_path()
    return Answer(obj=openid_configuration(server.url))


def _keys(server: ApiServer, request: Request) -> Answer:
    if request.path != "/openid/v1/jwks":
        raise statuses.no_such_path()
    return Answer(obj=server.accounts.jwks(), content_type="application/jwk-set+json")


_PAGES: dict[str, Page] = {
    "version": _version,
    "metrics": _metrics,
    "healthz": _health,
    "livez": _health,
    "readyz": _health,
    "api": discover,
    "apis": discover,
    "openapi": serve,
    ".well-known": _oidc,
    "openid": _keys,
}


def page_for(path: str) -> Page | None:
    """What answers ``path``."""
    return _PAGES.get(path.strip("/").partition("/")[0])
