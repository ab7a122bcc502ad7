"""A Call goes into a verb, an Answer comes out; the Backend is what verbs work on. Shared by every file of this package.

An Answer carries a stored record, an object or bytes; ``server`` turns it into a ``client.seam.Response`` for in-process callers,
``https`` into bytes. So a record read over HTTPS is never decoded, and one read in process is never encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from lateen.client.seam import Request
from lateen.cluster.api.allocation import ServiceAddresses
from lateen.cluster.api.paths import ResourcePath
from lateen.cluster.api.registry import Registry, Served
from lateen.cluster.storage.seam import Record, Storage
from lateen.kube.meta import Object

if TYPE_CHECKING:
    from lateen.aio.clock import Clock
    from lateen.cluster.api.aggregation.table import Remotes
    from lateen.cluster.api.auth.rbac import Rbac
    from lateen.cluster.api.auth.tokens import ServiceAccountTokens
    from lateen.cluster.api.dynamic.gate import Gate
    from lateen.cluster.api.outward.tls import Trust
    from lateen.cluster.api.streaming.seam import Nodes, Upgrade
    from lateen.cluster.api.streaming.tunnels import Tunnel
    from lateen.cluster.api.subresources.log import LogSource
    from lateen.cluster.api.user import UserInfo
    from lateen.cluster.api.watching import WatchStream, WatchStreams


@dataclass(slots=True, kw_only=True)
class Call:
    """One request to one resource, understood and authorized. ``warnings`` collects what the answer's Warning headers will say;
    ``rehearse`` makes it a dry run whatever the query says."""

    request: Request
    user: UserInfo
    served: Served
    path: ResourcePath
    verb: str
    warnings: list[str] = field(default_factory=list)
    rehearse: bool = False

    @property
    def namespace(self) -> str:
        """The path's namespace."""
        return self.path.namespace

    @property
    def name(self) -> str:
        """The path's object name, empty for a collection."""
        return self.path.name

    @property
    def key(self) -> str:
        """The storage key of the named object."""
        return self.served.key(self.path.namespace, self.path.name)

    def option(self, name: str, default: str = "") -> str:
        """One query parameter (the first, if it repeats)."""
        found = self.request.query.get(name, default)
        return found if isinstance(found, str) else (found[0] if found else default)

    def flag(self, name: str) -> bool:
        """A boolean query parameter."""
        return self.option(name).lower() in ("true", "1")

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be persisted."""
        return self.rehearse or "dryRun" in self.request.query


@dataclass(frozen=True, slots=True)
class ListBody:
    """A list: its head without items, and its records. ``joined`` gives the items' bytes, from a cache where there is one."""

    head: Object
    records: Sequence[Record]
    joined: Callable[[], bytes]

    def parts(self) -> tuple[bytes, ...]:
        """The list as bytes, in pieces: the items' bytes are shared, and large."""
        return orjson.dumps(self.head)[:-1] + b',"items":[', self.joined(), b"]}"

    def object(self) -> Object:
        """The list as an object; its items are shared."""
        return {**self.head, "items": [r.obj for r in self.records]}


@dataclass(slots=True, kw_only=True)
class Answer:
    """One answer. At most one of record, obj, listed, raw, watch, stream, upgrade and tunnel is set. ``proxied``: the stream is
    somebody else's whole answer."""

    status: int = 200
    record: Record | None = None
    obj: Any = None
    listed: ListBody | None = None
    raw: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    watch: WatchStream | None = None
    stream: AsyncIterator[bytes] | None = None
    upgrade: Upgrade | None = None
    tunnel: Tunnel | None = None
    proxied: bool = False

    def parts(self) -> tuple[bytes, ...]:
        """The bytes of what this answers with, in pieces."""
        if self.record is not None:
            return (self.record.raw,)
        if self.raw is not None:
            return (self.raw,)
        if self.listed is not None:
            return self.listed.parts()
        return (orjson.dumps(self.obj),)

    def object(self) -> Any:
        """The decoded object; None for bytes of another type."""
        if self.record is not None:
            return self.record.obj
        return self.listed.object() if self.listed is not None else self.obj


class KeyLocks:
    """One writer per key at a time: a read-modify-write then always reads what the writer before it left."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Wait for the key, first come first served."""
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = []
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._pass_on(key)
                raise
        try:
            yield
        finally:
            self._pass_on(key)

    def _pass_on(self, key: str) -> None:
        queue = self._waiting[key]
        while queue:
            turn = queue.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may what, and whose a token is: ``user_of(token, audiences)`` asks every kind of token."""

    rbac: Rbac
    accounts: ServiceAccountTokens
    user_of: Callable[[str, Sequence[str]], UserInfo | None]


@dataclass(slots=True, kw_only=True)
class Backend:
    """What verbs work on. ``converted``: what conversion webhooks made, by uid, revision and version.

    ``list_cache``: prefix -> (the revision that last changed it, its items' bytes);
    ``account_admission``: pods need a ServiceAccount and get its token (boot turns it on, see ``admission.accounts``).
    ``remotes``: extension API servers; ``front_proxy`` is our certificate towards them. ``gate``: what users
    configured to be asked about writes."""

    storage: Storage
    registry: Registry
    clock: Clock
    streams: WatchStreams
    addresses: ServiceAddresses
    access: Access
    logs: LogSource
    nodes: Nodes
    account_admission: bool = False
    remotes: Remotes
    front_proxy: Trust
    gate: Gate = field(init=False)
    locks: KeyLocks = field(default_factory=KeyLocks)
    converted: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    list_cache: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def served(self, group: str, version: str, plural: str) -> Served:
        """A built-in resource."""
        return self.registry.builtin(group, version, plural)

    def get(self, group: str, version: str, plural: str, namespace: str, name: str) -> Object | None:
        """The stored object of a built-in resource: for admission and subresources that look beside their own object."""
        record = self.storage.get(self.served(group, version, plural).key(namespace, name))
        return record.obj if record else None

    def objects(self, group: str, version: str, plural: str, namespace: str = "") -> Iterator[Object]:
        """All stored objects of a built-in resource."""
        page = self.storage.list(self.served(group, version, plural).prefix(namespace))
        return (r.obj for r in page.records)


Verb = Callable[[Backend, Call], Awaitable[Answer]]
