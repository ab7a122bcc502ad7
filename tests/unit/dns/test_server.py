"""The server on real sockets, told through its control socket, with an upstream that the test is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from lateen.aio.clock import VirtualClock
from lateen.aio.tasks import TaskOwner, gather, within
from lateen.cluster.dns.control import Control
from lateen.cluster.dns.data import Entry, Port, Target
from lateen.cluster.dns.forward import Forwarder
from lateen.cluster.dns.server import DnsServer
from lateen.cluster.dns.teller import Teller
from lateen.cluster.dns.zone import Zone
from lateen.kube.meta import Key

Message = dns.message.Message


class Upstream(asyncio.DatagramProtocol):
    """Answers with what ``answers`` holds, counts, and may be silent."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, str] = {}
        self.code, self.silent = dns.rcode.NOERROR, False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True)
        self.asked.append(name)
        reply = dns.message.make_response(query)
        reply.set_rcode(self.code)
        if name in self.answers:
            reply.answer = [dns.rrset.from_text(f"{name}.", 100, "IN", "A", self.answers[name])]
        if not self.silent:
            self.transport.sendto(reply.to_wire(), addr)


class Rig:
    """A server on 127.0.0.1 and its upstream."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.upstream = folder, VirtualClock(), Upstream()
        self.owner = TaskOwner("rig")

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self.upstream, ("127.0.0.1", 0))
        port = self._transport.get_extra_info("sockname")[1]
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        zone = Zone()
        self.server = DnsServer(zone, Forwarder(self.folder / "resolv.conf", self.clock, port=port))
        control = Control(self.folder / "control", zone, self.server, lambda: 1)
        self.owner.start(control.run(), "control")
        self.teller = await Teller.connect(self.folder / "control")
        udp, tcp = one_number()
        self.port = udp.getsockname()[1]
        everything = {"server": "10.96.0.10", "own": ["10.96.0.0/16"], "replace": [], "namespaces": ["a"]}
        assert await self.teller.tell(everything) == ""
        assert await self.teller.tell({"listen": "here"}, (udp, tcp)) == "here"
        udp.close()
        tcp.close()

    async def put(self, *entries: Entry) -> None:
        await self.teller.tell({"put": [e.wire() for e in entries]})

    async def ask(self, name: str, kind: str = "A", *, tcp: bool = False, payload: int = 0) -> Message:
        query = dns.message.make_query(name, kind, use_edns=0 if payload else False, payload=payload)
        send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await send(query, "127.0.0.1", port=self.port, timeout=5)

    async def close(self) -> None:
        self.teller.close()
        await self.owner.close()
        await self.server.close()
        self._transport.close()


def one_number() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket bound to the same port: others may hold the one that was free for the other transport."""
    for _ in range(100):
        udp, tcp = (socket.socket(socket.AF_INET, k) for k in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
        tcp.bind(("127.0.0.1", 0))
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
        else:
            return udp, tcp
    raise AssertionError("no port is free for both")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    await made.start()
    yield made
    await made.close()


def lines(message: Message) -> list[str]:
    return sorted(str(r) for s in message.answer for r in s)


def big(number: int) -> Entry:
    port = Port("http", "tcp", 80)
    targets = tuple(Target(f"10.64.{i // 250}.{i % 250}", f"pod-{i}", True, (port,)) for i in range(number))
    return Entry(key=Key("a", "big"), headless=True, targets=targets, ports=(port,))


async def test_a_change_is_answered_as_soon_as_it_was_told(rig: Rig) -> None:
    name, port = "web.a.svc.cluster.local", Port("", "tcp", 80)
    for address in ("10.96.0.3", "10.96.0.4"):
        await rig.put(Entry(key=Key("a", "web"), addresses=(address,), ports=(port,)))
        for tcp in (False, True):
            answer = await rig.ask(name, tcp=tcp)
            assert lines(answer) == [address] and answer.flags & dns.flags.AA
    await rig.teller.tell({"remove": [["a", "web"]]})
    gone = await rig.ask(name)
    assert gone.rcode() == dns.rcode.NXDOMAIN and gone.authority[0].ttl == 5


async def test_what_a_datagram_cannot_hold_is_cut_off_and_had_over_tcp(rig: Rig) -> None:
    await rig.put(big(100))
    for payload, most in ((0, 512), (1232, 1232), (4096, 4096)):
        answer = await rig.ask("big.a.svc.cluster.local", payload=payload)
        assert len(answer.to_wire()) <= most
        assert bool(answer.flags & dns.flags.TC) is (most < 4096) and (len(lines(answer)) == 100) is (most == 4096)
    assert len(lines(await rig.ask("big.a.svc.cluster.local", tcp=True))) == 100
    srv = await rig.ask("_http._tcp.big.a.svc.cluster.local", "SRV", tcp=True)
    assert len(lines(srv)) == 100 and len(srv.additional) == 100
    assert lines(srv)[0] == "0 1 80 pod-0.big.a.svc.cluster.local."


async def test_the_order_of_addresses_moves_on(rig: Rig) -> None:
    await rig.put(big(3))
    firsts = [str((await rig.ask("big.a.svc.cluster.local")).answer[0][0]) for _ in range(6)]
    assert set(firsts[:3]) == {f"10.64.0.{i}" for i in range(3)}
    assert firsts[3:] == firsts[:3]


async def test_a_name_outside_is_asked_of_the_machines_resolver_and_kept(rig: Rig) -> None:
    rig.upstream.answers["www.example.com"] = "192.0.2.1"
    answers = await gather([rig.ask("www.example.com") for _ in range(20)])
    assert all(lines(a) == ["192.0.2.1"] and not a.flags & dns.flags.AA for a in answers)
    assert rig.upstream.asked == ["www.example.com"]
    rig.clock._elapsed += 29
    assert (await rig.ask("WWW.example.com")).answer[0].ttl == 71 and len(rig.upstream.asked) == 1
    rig.clock._elapsed += 2
    await rig.ask("www.example.com")
    assert len(rig.upstream.asked) == 2


async def test_an_external_name_leads_there(rig: Rig) -> None:
    rig.upstream.answers["api.example.com"] = "192.0.2.2"
    await rig.put(Entry(key=Key("a", "out"), external="api.example.com"))
    answer = await rig.ask("out.a.svc.cluster.local")
    assert [(s.name.to_text(), str(s[0])) for s in answer.answer] == [
        ("out.a.svc.cluster.local.", "api.example.com."),
        ("api.example.com.", "192.0.2.2"),
    ]


async def test_names_of_the_cluster_are_never_asked_outside(rig: Rig) -> None:
    for name in ("www.example.com.a.svc.cluster.local", "www.example.com.svc.cluster.local", "www.example.com.cluster.local"):
        assert (await rig.ask(name)).rcode() == dns.rcode.NXDOMAIN
    assert (await rig.ask("9.9.96.10.in-addr.arpa", "PTR")).rcode() == dns.rcode.NXDOMAIN
    assert rig.upstream.asked == []


async def test_resolvers_that_fail(rig: Rig) -> None:
    rig.upstream.code = dns.rcode.NXDOMAIN
    assert (await rig.ask("no.example.com")).rcode() == dns.rcode.NXDOMAIN
    rig.upstream.code = dns.rcode.REFUSED
    assert (await rig.ask("refused.example.com")).rcode() == dns.rcode.REFUSED
    (rig.folder / "resolv.conf").write_text("# nobody\n")
    assert (await rig.ask("nobody.example.com")).rcode() == dns.rcode.SERVFAIL


async def test_what_is_no_query(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)

    async def raw(data: bytes) -> bytes:
        writer.write(len(data).to_bytes(2, "big") + data)
        return await within(5, reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))

    good = dns.message.make_query("web.a.svc.cluster.local", "A").to_wire()
    assert (await raw(good[:2] + b"\x28" + good[3:]))[3] & 15 == dns.rcode.NOTIMP
    assert (await raw(good[:-5]))[3] & 15 == dns.rcode.FORMERR
    assert dns.message.from_wire(await raw(dns.message.make_query("a.b", "A", "CH").to_wire())).rcode() == dns.rcode.REFUSED
    odd = dns.message.make_query("a.b", "A", use_edns=1)
    assert dns.message.from_wire(await raw(odd.to_wire())).rcode() == dns.rcode.BADVERS
    writer.write(b"\0\3abc")
    assert await within(5, reader.read()) == b""  # nobody to answer: the connection ends
    writer.close()
    await writer.wait_closed()
