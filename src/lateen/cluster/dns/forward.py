"""Names outside the cluster: asked of the machine's resolvers, and kept for a while (at most 30 s, as CoreDNS is usually set up).

The resolvers are those of a resolv.conf, read again when it changes; the next one is asked when one does not answer. Equal
questions that come together are asked once. Used by ``server``.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from lateen.aio.clock import Clock
from lateen.aio.tasks import TaskOwner, within
from lateen.errors import TransportError
from lateen.kube.resolv import parse_resolv

log = logging.getLogger(__name__)
Message = dns.message.Message
_EACH, _ALL = 2.0, 5.0  # seconds for one resolver, for all of them
_KEPT, _KEPT_FAILURE = 30, 5
_ENTRIES, _AT_ONCE = 10_000, 1000
_PAYLOAD = 1232
_Question = tuple[str, int, bool, bool]


@dataclass(frozen=True, slots=True)
class _Kept:
    message: Message
    since: float
    until: float


class Forwarder:
    """``resolvers`` is a resolv.conf. ``port`` differs from 53 in tests only."""

    def __init__(self, resolvers: Path, clock: Clock, *, port: int = 53) -> None:
        self._file, self._clock, self._port = resolvers, clock, port
        self._stamp: tuple[int, int] = (0, 0)
        self._servers: Sequence[str] = ()
        self._cache: OrderedDict[_Question, _Kept] = OrderedDict()
        self._asking: dict[_Question, asyncio.Task[Message]] = {}
        self._owner = TaskOwner("forward")

    async def ask(self, name: str, kind: str, *, tcp: bool, checking: bool = True, dnssec: bool = False) -> tuple[Message, int]:
        """The answer and how many seconds old it is. TransportError when nobody answers."""
        question = (name.lower(), int(dns.rdatatype.from_text(kind)), checking, dnssec)
        now = self._clock.monotonic()
        known = self._cache.get(question)
        if known is not None and known.until > now:
            self._cache.move_to_end(question)
            return known.message, int(now - known.since)
        task = self._asking.get(question)
        if task is None or tcp:
            if len(self._asking) >= _AT_ONCE:
                raise TransportError("too many questions are under way")
            task = self._asking[question] = self._owner.start(self._fetch(question, tcp=tcp), "ask")
            task.add_done_callback(lambda done: self._asking.pop(question, None) if self._asking.get(question) is done else None)
        return await asyncio.shield(task), 0

    async def _fetch(self, question: _Question, *, tcp: bool) -> Message:
        name, kind, checking, dnssec = question
        query = dns.message.make_query(name or ".", dns.rdatatype.RdataType(kind), use_edns=0, payload=_PAYLOAD, want_dnssec=dnssec)
        if not checking:
            query.flags |= dns.flags.CD
        answer = await self._anyone(query, tcp=tcp)
        self._keep(question, answer)
        return answer

    async def _anyone(self, query: Message, *, tcp: bool) -> Message:
        """The first answer of a resolver; a failure of one is not believed while another may do better."""
        servers, failed = list(self._upstream()), None
        deadline = self._clock.monotonic() + _ALL
        for server in random.sample(servers, len(servers)):
            left = min(_EACH, deadline - self._clock.monotonic())
            if left <= 0:
                break
            try:
                answer = await within(left, self._one(query, server, tcp=tcp))
            except (OSError, EOFError, dns.exception.DNSException) as error:
                log.debug("%s: %s", server, error)
                continue
            if answer.rcode() not in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
                return answer
            failed = answer
        if failed is None:
            raise TransportError(f"no resolver answered ({', '.join(servers) or 'none is known'})")
        return failed

    async def _one(self, query: Message, server: str, *, tcp: bool) -> Message:
        import dns.asyncquery  # with what it needs 6 MB: a cluster that asks nothing outside goes without

        if tcp:
            return await dns.asyncquery.tcp(query, server, port=self._port)
        return await dns.asyncquery.udp(query, server, port=self._port, ignore_unexpected=True)

    def _upstream(self) -> Sequence[str]:
        try:
            found = self._file.stat()
            if self._stamp != (stamp := (found.st_mtime_ns, found.st_ino)):
                self._servers, self._stamp = parse_resolv(self._file.read_text(errors="replace")).nameservers, stamp
        except OSError:
            self._servers = ()
        return self._servers

    def _keep(self, question: _Question, answer: Message) -> None:
        seconds = _keepable(answer)
        if seconds <= 0:
            return
        now = self._clock.monotonic()
        self._cache[question] = _Kept(answer, now, now + seconds)
        self._cache.move_to_end(question)
        while len(self._cache) > _ENTRIES:
            self._cache.popitem(last=False)

    async def close(self) -> None:
        """End what is under way."""
        await self._owner.close()


def _keepable(answer: Message) -> int:
    """For how many seconds an answer may be kept. 0: not at all."""
    if answer.flags & dns.flags.TC:
        return 0
    if answer.rcode() in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
        return _KEPT_FAILURE if answer.rcode() == dns.rcode.SERVFAIL else 0
    if answer.answer and answer.rcode() == dns.rcode.NOERROR:
        return min(_KEPT, *(s.ttl for s in answer.answer))
    ends = [min(s.ttl, s[0].minimum) for s in answer.authority if s.rdtype == dns.rdatatype.SOA]
    return min(_KEPT, *ends) if ends else 0
