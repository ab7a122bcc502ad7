"""DNS messages and answers: what a query asks, and an answer as bytes that fit. Used by ``server``.

dnspython knows the format; here stands what this server makes of it: EDNS echoed, truncation, the order of several addresses moved
on by one each time (clients take the first).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from lateen.cluster.dns.zone import Answer, Record

_HEADER = 12
_PLAIN, _MOST, _STREAM = 512, 4096, 65535
_turn = itertools.count()


@dataclass(frozen=True, slots=True)
class Query:
    """One question. ``size`` is what the client takes in a datagram, ``message`` all of it."""

    name: str
    kind: str
    size: int
    message: dns.message.Message

    @property
    def question(self) -> dns.rrset.RRset:
        """The question as it was asked."""
        return self.message.question[0]


def parse(data: bytes) -> Query | bytes:
    """The query, or the answer to what is none. b'' when there is nobody to answer."""
    if len(data) < _HEADER or data[2] & 0x80:  # an answer is no question
        return b""
    if data[2] >> 3 & 0xF:
        return refusal(data, dns.rcode.NOTIMP)
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
    except dns.exception.DNSException:
        return refusal(data, dns.rcode.FORMERR)
    if len(message.question) != 1:
        return refusal(data, dns.rcode.FORMERR)
    if message.edns > 0:
        return _error(message, dns.rcode.BADVERS)
    question = message.question[0]
    if question.rdclass != dns.rdataclass.IN:
        return _error(message, dns.rcode.REFUSED)
    size = min(max(message.payload, _PLAIN), _MOST) if message.edns >= 0 else _PLAIN
    return Query(question.name.to_text(omit_final_dot=True).lstrip("."), dns.rdatatype.to_text(question.rdtype), size, message)


def refusal(data: bytes, code: int) -> bytes:
    """An answer that is a header only."""
    return data[:2] + bytes([0x80 | data[2] & 0x79, code]) + bytes(8)


def failure(query: Query) -> bytes:
    """SERVFAIL."""
    return _error(query.message, dns.rcode.SERVFAIL)


def _error(query: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    reply = dns.message.make_response(query, recursion_available=True, our_payload=_MOST)
    reply.set_rcode(code)
    return reply.to_wire(want_shuffle=False)


def local(query: Query, answer: Answer, *, tcp: bool) -> bytes:
    """An answer of the zone."""
    reply = dns.message.make_response(query.message, recursion_available=True, our_payload=_MOST)
    reply.flags |= dns.flags.AA
    reply.set_rcode(dns.rcode.Rcode(answer.code))
    reply.answer = sets(answer.records, query.question.name)
    reply.additional = sets(answer.extra, query.question.name)
    reply.authority = sets([answer.soa], query.question.name) if answer.soa else []
    return fitted(reply, query, tcp=tcp)


def passed_on(query: Query, known: dns.message.Message, *, tcp: bool, aliases: Sequence[Record] = (), age: int = 0) -> bytes:
    """What another server said, as an answer to this query; ``aliases`` come before it. Its TTLs have gone down by ``age``."""
    reply = dns.message.make_response(query.message, recursion_available=True, our_payload=_MOST)
    reply.set_rcode(known.rcode())
    reply.flags |= known.flags & (dns.flags.AD | dns.flags.TC)
    reply.answer = sets(aliases, query.question.name) + _aged(known.answer, age)
    reply.authority, reply.additional = _aged(known.authority, age), _aged(known.additional, age)
    return fitted(reply, query, tcp=tcp)


def fitted(reply: dns.message.Message, query: Query, *, tcp: bool) -> bytes:
    """As bytes; cut off, and marked as such, where a datagram cannot hold it. What is only additional goes without a mark."""
    size = _STREAM if tcp else query.size
    try:
        return reply.to_wire(max_size=size, want_shuffle=False)
    except dns.exception.TooBig:
        reply.additional = []
    return reply.to_wire(max_size=size, prefer_truncation=True, want_shuffle=False)


def sets(records: Iterable[Record], asked: dns.name.Name) -> list[dns.rrset.RRset]:
    """Records as the format has them: those of one name and type together."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.name, record.kind), []).append(record)
    return [_set(name, kind, group, asked) for (name, kind), group in groups.items()]


def _set(name: str, kind: str, group: Sequence[Record], asked: dns.name.Name) -> dns.rrset.RRset:
    owner = dns.name.from_text(name) if name else asked
    if len(group) > 1 and kind in ("A", "AAAA"):
        first = next(_turn) % len(group)
        group = [*group[first:], *group[:first]]
    made = dns.rrset.RRset(owner, dns.rdataclass.IN, dns.rdatatype.from_text(kind))
    made.update_ttl(group[0].ttl)
    for record in group:
        made.add(dns.rdata.from_text(dns.rdataclass.IN, made.rdtype, record.data), group[0].ttl)
    return made


def _aged(sections: Iterable[dns.rrset.RRset], age: int) -> list[dns.rrset.RRset]:
    result = []
    for known in sections:
        copy = known.copy()  # type: ignore[no-untyped-call]
        copy.ttl = max(0, known.ttl - age)
        result.append(copy)
    return result
