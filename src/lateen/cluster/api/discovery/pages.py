"""The discovery documents as answers: kept while the registry stands still."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from lateen.client.seam import Request
from lateen.cluster.api import statuses
from lateen.cluster.api.call import Answer
from lateen.cluster.api.discovery import aggregated, legacy
from lateen.cluster.api.negotiation import Form, form_of

if TYPE_CHECKING:
    from lateen.cluster.api.server import ApiServer


class DiscoveryCache:
    """Serialised documents of one registry generation, with their ETags."""

    def __init__(self) -> None:
        self._generation = -1
        self._kept: dict[tuple[str, bool], tuple[bytes, str]] = {}

    def get(self, server: ApiServer, path: str, wide: bool) -> tuple[bytes, str] | None:
        """(bytes, etag) of the document at ``path``; ``wide`` for the aggregated one."""
        registry, remotes = server.backend.registry, server.backend.remotes
        if registry.generation != self._generation:
            self._generation, self._kept = registry.generation, {}
        found = self._kept.get((path, wide))
        if found is None:
            made = aggregated.document(registry, remotes, core=path == "/api") if wide else legacy.document(registry, remotes, path)
            if made is None:
                return None
            raw = orjson.dumps(made)
            found = self._kept[path, wide] = (raw, hashlib.sha256(raw).hexdigest())
        return found


def discover(server: ApiServer, request: Request) -> Answer:
    """``/api`` and ``/apis`` and what lies below them, down to a group version."""
    path = request.path.rstrip("/")
    wide = path in ("/api", "/apis") and form_of(request.accept) is Form.DISCOVERY
    found = server.discovery.get(server, path, wide)
    if found is None:
        raise statuses.no_such_path()
    raw, etag = found
    headers = {"ETag": f'"{etag.upper()}"', "Vary": "Accept"} if wide else {}
    return Answer(raw=raw, content_type=aggregated.CONTENT_TYPE if wide else "application/json", headers=headers)
