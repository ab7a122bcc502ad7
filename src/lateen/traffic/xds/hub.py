"""The caches and the connected proxies together: publish changes, ask what arrived, wait for it. Used by controller and gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from lateen.traffic.xds.cache import Cache
from lateen.traffic.xds.compile import GROUPS, Changes
from lateen.traffic.xds.resource import Name
from lateen.traffic.xds.session import Session

Listener = Callable[[str, Iterable[Name]], None]


class Connection:
    """A session with the event that wakes its sender."""

    def __init__(self, group: str, session: Session) -> None:
        self.group, self.session, self.wake = group, session, asyncio.Event()


class Hub:
    """One cache per group and any number of proxies in each (two while one replaces the other)."""

    def __init__(self) -> None:
        self.caches: Mapping[str, Cache] = {g: Cache() for g in GROUPS}
        self._connections: dict[str, list[Connection]] = {g: [] for g in GROUPS}
        self._waiting: dict[Name | None, list[asyncio.Future[None]]] = {}
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener(group, names)`` after answers of a proxy; no names when one came or went."""
        self._listeners.append(listener)

    def publish(self, changes: Mapping[str, Changes]) -> None:
        """New resources for every group."""
        for group, change in changes.items():
            touched = self.caches[group].apply(change)
            if not touched:
                continue
            for connection in self._connections[group]:
                connection.session.touch(touched)
                connection.wake.set()
            self._wake(touched)

    def join(self, group: str) -> Connection:
        """A proxy connected."""
        connection = Connection(group, Session(self.caches[group]))
        self._connections[group].append(connection)
        self._told(group, ())
        return connection

    def leave(self, connection: Connection) -> None:
        """A proxy's stream ended."""
        self._connections[connection.group].remove(connection)
        self._told(connection.group, ())

    def heard(self, connection: Connection, names: Iterable[Name]) -> None:
        """A proxy answered about ``names``."""
        self._told(connection.group, names)

    def _told(self, group: str, names: Iterable[Name]) -> None:
        self._wake(names)
        for listener in self._listeners:
            listener(group, names)

    def _wake(self, names: Iterable[Name]) -> None:
        keys: list[Name | None] = [*names] or list(self._waiting)
        for key in keys:
            for future in self._waiting.pop(key, ()):
                if not future.done():
                    future.set_result(None)

    async def news(self, names: Iterable[Name]) -> None:
        """Return when something about ``names`` changed: the resource, a proxy's answer, or the proxies themselves."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for name in {*names, None}:
            self._waiting.setdefault(name, []).append(future)
        try:
            await future
        finally:
            for name in {*names, None}:
                waiting = self._waiting.get(name)
                if waiting and future in waiting:
                    waiting.remove(future)
                    if not waiting:
                        del self._waiting[name]

    def connected(self, group: str) -> int:
        """How many proxies of the group are connected."""
        return len(self._connections[group])

    def reached(self, group: str, name: Name, serial: int) -> bool:
        """Whether every connected proxy of the group has ``name`` as of ``serial``."""
        return all(c.session.reached(name, serial) for c in self._connections[group])

    def has(self, group: str, name: Name) -> bool:
        """Whether every connected proxy (there is one at least) has ``name`` as it is now."""
        found = self._connections[group]
        return bool(found) and all(c.session.has(name) for c in found)

    def refusal(self, group: str, name: Name) -> str:
        """A proxy's words about why it refused ``name``, or ''."""
        return next((w for c in self._connections[group] if (w := c.session.refusal(name))), "")

    def retry_refused(self) -> None:
        """Offer refused resources once more."""
        for connections in self._connections.values():
            for connection in connections:
                if connection.session.retry_refused():
                    connection.wake.set()

    async def acked(self) -> None:
        """Return once every connected proxy has everything as it is now, or refused it."""
        goal = {g: (c.serial, [Name(t, n) for t in c.types() for n in c.names(t)]) for g, c in self.caches.items()}
        for group, (serial, names) in goal.items():
            for name in names:
                while not self._settled(group, name, serial):
                    await self.news((name,))

    def _settled(self, group: str, name: Name, serial: int) -> bool:
        return self.caches[group].get(name) is None or all(
            c.session.reached(name, serial) or c.session.has(name) or c.session.refusal(name) for c in self._connections[group]
        )
