"""The loopback network: each pod has a 127.x address, and is told so by HOST (and PORT, if it declares exactly one).

Pods of one ServiceAccount share /24 blocks of the cluster's slice, as many as they need, so that a block names a caller. One
object serves every node of the cluster; each address is a small file, so that a pod keeps its own across restarts of the daemon.
An application that ignores HOST and listens on 0.0.0.0 takes its port from every other pod: ``holders`` finds it by name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lateen.cluster.node.networks.book import AddressBook, port_variable
from lateen.cluster.node.seam import Connection, PodAddress
from lateen.cluster.node.sysctls import network_sysctls
from lateen.errors import FailedError
from lateen.kube.meta import Key, Object

# Addresses as /proc/net/tcp and tcp6 write them: hexadecimal, each word in the machine's (little-endian) order.
_IPV4, _MAPPED = 8, "0000000000000000FFFF0000"
_EVERYWHERE = ("00000000", "0" * 32, _MAPPED + "00000000", "0000000000000000FFFF000000000000")


class LoopbackNetwork:
    """``network`` is the slice's pod network (kube.addresses.pod_network); ``folder`` keeps who has what."""

    name = "loopback"

    def __init__(self, folder: Path, network: ipaddress.IPv4Network, *, host_ip: str = "127.0.0.1") -> None:
        self._book, self._host_ip = AddressBook(folder, network), host_ip

    async def attach(self, pod: Object) -> PodAddress:
        """The pod's address. FailedError when the slice is full."""
        if (pod.get("spec") or {}).get("hostNetwork"):
            return PodAddress(ip=self._host_ip, host_ip=self._host_ip)
        if found := network_sysctls(pod):
            names = ", ".join("net." + n.replace("/", ".") for n in found)
            raise FailedError(f"sysctls {names} would be the machine's: on the loopback network pods have none (--network netns)")
        ip = self._book.take(pod)
        return PodAddress(ip=ip, host_ip=self._host_ip, env={"HOST": ip} | port_variable(pod))

    async def detach(self, pod_uid: str) -> None:
        self._book.give_back(pod_uid)

    async def reach(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Connection:
        return await asyncio.open_connection(host, port, ssl=tls)

    async def dial(self, pod: Object, port: int) -> Connection:
        """To the pod's own address: a process that listens on 127.0.0.1 alone cannot be told from any other of the machine."""
        ip = str((pod.get("status") or {}).get("podIP") or self._host_ip)
        try:
            return await asyncio.open_connection(ip, port)
        except OSError as error:
            raise OSError(f"failed to connect to {ip}:{port}: {os.strerror(error.errno or 0).lower()}") from error

    def blocks(self, account: Key) -> list[str]:
        """The /24 networks whose addresses only pods of this ServiceAccount have."""
        return self._book.blocks(account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who listens on an address. ``pid`` is 0 when the process is somebody else's; ``mark`` is the container's id, if it is one."""

    address: str
    everywhere: bool = False  # it listens on all addresses of the machine
    pid: int = 0
    name: str = ""
    mark: str = ""


def holder(ip: str, port: int) -> Holder | None:
    """Who keeps ``ip:port`` from being bound: a listener on that address or on all addresses. Blocking, some milliseconds."""
    wanted = {_hex(ip), *_EVERYWHERE, _MAPPED + _hex(ip)}
    for address, inode in _listeners(port):
        if address in wanted:
            everywhere = not address.endswith(_hex(ip))
            return replace(_owner_of(inode), address=f"{'*' if everywhere else ip}:{port}", everywhere=everywhere)
    return None


def anywhere(port: int) -> Holder | None:
    """Who listens on ``port`` of any IPv4 address: it keeps others from listening on all of them. Blocking."""
    for address, inode in _listeners(port):
        if len(address) == _IPV4 or address.startswith(_MAPPED):
            ip = ".".join(str(byte) for byte in reversed(bytes.fromhex(address[-_IPV4:])))
            return replace(_owner_of(inode), address=f"{ip}:{port}")
    return None


def _listeners(port: int) -> Iterator[tuple[str, str]]:
    """(address as the kernel writes it, inode) of every TCP socket that listens on ``port``."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, number = fields[1].partition(":")
            if fields[3] == "0A" and int(number, 16) == port:
                yield address, fields[9]


def _hex(ip: str) -> str:
    return "".join(f"{int(part):02X}" for part in reversed(ip.split(".")))


def _owner_of(inode: str) -> Holder:
    link = Path(f"socket:[{inode}]")
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if any(fd.readlink() == link for fd in (process / "fd").iterdir()):
                    return Holder(address="", pid=int(process.name), name=_name(process), mark=_mark(process))
            except OSError:
                continue
    return Holder(address="")


def _name(process: Path) -> str:
    return (process / "comm").read_text().strip()


def _mark(process: Path) -> str:
    environ = (process / "environ").read_bytes().split(b"\0")
    return next((e.partition(b"=")[2].decode() for e in environ if e.startswith(b"LATEEN_ID=")), "")
