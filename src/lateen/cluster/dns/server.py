"""Answers queries on sockets that it is given: UDP in turns of many datagrams, TCP a connection at a time. Made by ``main``.

What the zone answered is kept as bytes until the zone changes, unless the order of its addresses is to move on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import dns.flags

from lateen.aio.tasks import TaskOwner, within
from lateen.cluster.dns import wire
from lateen.cluster.dns.forward import Forwarder
from lateen.cluster.dns.zone import Answer, Zone
from lateen.errors import TransportError

log = logging.getLogger(__name__)
_TURN = 64  # datagrams before others get their turn
_KEPT = 20_000
_IDLE = 10.0
_CONNECTIONS = 512
_PENDING = 2000  # questions that wait for others' answers: more are dropped, as a full socket would


class DnsServer:
    """``zone`` is changed by who made it, who then calls ``changed``."""

    def __init__(self, zone: Zone, forwarder: Forwarder) -> None:
        self._zone, self._forwarder = zone, forwarder
        self._owner = TaskOwner("dns")
        self._kept: dict[bytes, bytes] = {}
        self._udp: socket.socket | None = None
        self._tcp: asyncio.Server | None = None
        self._connections = 0

    def changed(self) -> None:
        """The zone says something else now."""
        self._kept.clear()

    async def listen(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer on these from now on; earlier ones are closed."""
        self._close_sockets()
        udp.setblocking(False)
        self._udp = udp
        asyncio.get_running_loop().add_reader(udp, self._datagrams, udp)
        self._tcp = await asyncio.start_server(self._connection, sock=tcp)

    def _datagrams(self, udp: socket.socket) -> None:
        for _ in range(_TURN):
            try:
                data, peer = udp.recvfrom(65535)
            except OSError:  # nothing more, or the news that an earlier answer was not wanted
                return
            self._datagram(udp, data, peer)

    def _datagram(self, udp: socket.socket, data: bytes, peer: Any) -> None:
        known = self._kept.get(data[2:])
        found = data[:2] + known if known is not None else self.quick(data, tcp=False)
        if isinstance(found, bytes):
            if found:
                _send(udp, found, peer)
        elif len(self._owner) < _PENDING:
            self._owner.start(self._later(found, lambda answer: _send(udp, answer, peer)), "udp")

    async def _later(self, query: wire.Query, send: Callable[[bytes], None]) -> None:
        send(await self.slow(query, tcp=False))

    def quick(self, data: bytes, *, tcp: bool) -> bytes | wire.Query:
        """The answer, if the zone has all of it; else the query."""
        query = wire.parse(data)
        if isinstance(query, bytes):
            return query
        answer = self._zone.lookup(query.name, query.kind)
        if answer is None or answer.alias:
            return query
        made = wire.local(query, answer, tcp=tcp)
        if not tcp and _steady(answer):
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[data[2:]] = made[2:]
        return made

    async def slow(self, query: wire.Query, *, tcp: bool) -> bytes:
        """The answer with the help of others."""
        answer = self._zone.lookup(query.name, query.kind)
        name = answer.alias if answer is not None and answer.alias else query.name
        flags = query.message.flags
        try:
            known, age = await self._forwarder.ask(
                name,
                query.kind,
                tcp=tcp,
                checking=not flags & dns.flags.CD,
                dnssec=bool(query.message.ednsflags & dns.flags.DO),
            )
        except TransportError as error:
            log.info("%s %s: %s", query.kind, name, error)
            return wire.failure(query)
        return wire.passed_on(query, known, tcp=tcp, aliases=answer.records if answer else (), age=age)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= _CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                size = int.from_bytes(await within(_IDLE, reader.readexactly(2)), "big")
                data = await within(_IDLE, reader.readexactly(size))
                found = self.quick(data, tcp=True)
                answer = found if isinstance(found, bytes) else await self.slow(found, tcp=True)
                if not answer:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await within(_IDLE, writer.drain())
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            self._connections -= 1
            writer.close()

    def _close_sockets(self) -> None:
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp)
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    async def close(self) -> None:
        """End."""
        self._close_sockets()
        await self._owner.close()
        await self._forwarder.close()


def _send(udp: socket.socket, answer: bytes, peer: Any) -> None:
    try:
        udp.sendto(answer, peer)
    except OSError:  # its buffer is full, or the client has gone: it will ask again
        return


def _steady(answer: Answer) -> bool:
    """Whether the same bytes may be said again."""
    return sum(r.kind in ("A", "AAAA") for r in answer.records) <= 1
