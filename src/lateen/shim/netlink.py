"""The few requests to the kernel's routing socket that a bridge with virtual cables needs. Used by ``netns`` only.

Spoken by hand, because a program for it (``ip``) costs 3 ms a call and is not everywhere, and the libraries take longer to import
than a whole process owner takes to start. A socket belongs to the network namespace in which it was made.
"""

from __future__ import annotations

import os
import socket
import struct

_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE = 16, 17, 20, 24
_REQUEST, _ACK, _EXCL, _REPLACE, _CREATE = 0x1, 0x4, 0x200, 0x100, 0x400
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 10, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_TABLE_MAIN, _TABLE_LOCAL = 254, 255
_UNIVERSE, _HOST, _UNICAST, _LOCAL, _BOOT = 0, 254, 1, 2, 3
_IFF_UP = 1


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (-length % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _link(index: int = 0, *, up: bool = False) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP if up else 0)


class Netlink:
    """One socket, one request at a time. Every method raises OSError with the kernel's reason; what is there already is an error
    only where it says so."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._number = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_bridge(self, name: str, mac: bytes) -> None:
        """FileExistsError if there is a link of that name."""
        info = _attribute(_IFLA_LINKINFO, _text(_INFO_KIND, "bridge"))
        self._ask(_NEWLINK, _CREATE | _EXCL, _link() + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_ADDRESS, mac) + info)

    def add_cable(self, name: str, mac: bytes, *, peer: str, peer_namespace: int) -> None:
        """A pair of links: ``name`` here, ``peer`` in the namespace of a descriptor. FileExistsError if one is there."""
        other = _link() + _text(_IFLA_IFNAME, peer) + _number(_IFLA_NET_NS_FD, peer_namespace)
        data = _attribute(_INFO_DATA, _attribute(_VETH_INFO_PEER, other))
        info = _attribute(_IFLA_LINKINFO, _text(_INFO_KIND, "veth") + data)
        self._ask(_NEWLINK, _CREATE | _EXCL, _link() + _text(_IFLA_IFNAME, name) + _attribute(_IFLA_ADDRESS, mac) + info)

    def set_up(self, name: str, *, master: str = "") -> None:
        """Bring a link up, as a port of a bridge if ``master`` names one."""
        join = _number(_IFLA_MASTER, socket.if_nametoindex(master)) if master else b""
        self._ask(_NEWLINK, 0, _link(socket.if_nametoindex(name), up=True) + join)

    def delete(self, name: str) -> None:
        """Remove a link, and with it the other end of its cable. Nothing happens if there is none."""
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return
        self._ask(_DELLINK, 0, _link(index))

    def add_address(self, name: str, ip: str, prefix: int) -> None:
        index, address = socket.if_nametoindex(name), socket.inet_aton(ip)
        body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, _UNIVERSE, index)
        self._ask(_NEWADDR, _CREATE | _REPLACE, body + _attribute(2, address) + _attribute(1, address))

    def add_default_route(self, gateway: str) -> None:
        self._ask(_NEWROUTE, _CREATE | _REPLACE, _route(0) + _attribute(_RTA_GATEWAY, socket.inet_aton(gateway)))

    def add_local(self, network: str, prefix: int) -> None:
        """Every address of ``network`` belongs to this namespace: it can be listened on without being given to a link."""
        to = _attribute(_RTA_DST, socket.inet_aton(network)) + _number(_RTA_OIF, socket.if_nametoindex("lo"))
        self._ask(_NEWROUTE, _CREATE | _REPLACE, _route(prefix, local=True) + to)

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._number += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, self._number, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(8192)
        (error,) = struct.unpack_from("=i", answer, 16)
        if error:
            raise OSError(-error, os.strerror(-error))


def _route(prefix: int, *, local: bool = False) -> bytes:
    table, scope, kind = (_TABLE_LOCAL, _HOST, _LOCAL) if local else (_TABLE_MAIN, _UNIVERSE, _UNICAST)
    return struct.pack("=BBBBBBBBI", socket.AF_INET, prefix, 0, 0, table, _BOOT, scope, kind, 0)
