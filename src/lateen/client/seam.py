"""The seam between the client and a Kubernetes API: a Request goes in, a Response comes out.

``client.http`` implements it over HTTPS, ``client.inprocess`` over the embedded API server's handler in the same process.
The API server's own handler speaks these types too, so both paths meet the same code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from lateen.kube.meta import Object


class WatchEvent(NamedTuple):
    """ADDED, MODIFIED, DELETED or BOOKMARK; ERROR never leaves the client (it is raised). ``object`` is shared: never change it."""

    type: str
    object: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``body`` is an object (JSON) or bytes in ``content_type``. A query key may repeat: its value is then a tuple.
    ``headers`` are all that came over a socket, for upgrades and proxies."""

    method: str
    path: str
    query: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    user_agent: str = "lateen"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Response:
    """One answer. At most one of ``raw`` (bytes in ``content_type``), ``events`` (a watch) and ``stream`` (logs) is set.

    ``object`` is the decoded JSON; an in-process answer sets it without serialising, and it is then shared: never change it.
    """

    status: int
    object: Any = None
    raw: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    events: AsyncIterator[WatchEvent] | None = None
    stream: AsyncIterator[bytes] | None = None


class Transport(Protocol):
    """Carries requests to one API server as one user."""

    async def send(self, request: Request) -> Response:
        """The answer, whatever its status code; ``object`` is set for JSON. Raises TransportError when there is none.

        A watch (``query["watch"]``) answers with ``events``, a followed log with ``stream``; the caller must exhaust or
        ``aclose()`` the iterator. A broken stream raises TransportError from the iterator.
        """
        ...

    async def close(self) -> None:
        """Release connections. Idempotent."""
        ...
