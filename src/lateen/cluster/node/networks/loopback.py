"""The loopback network: each pod has a 127.x address, and is told so by HOST (and PORT, if it declares exactly one).

Pods of one ServiceAccount share /24 blocks of the cluster's slice, as many as they need, so that a block names a caller. One
object serves every node of the cluster; each address is a small file, so that a pod keeps its own across restarts of the daemon.
An application that ignores HOST and listens on 0.0.0.0 takes its port from every other pod: ``holders`` finds it by name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from lateen.cluster.node.seam import Connection, PodAddress
from lateen.errors import FailedError
from lateen.kube.meta import Key, Object, meta, uid_of

_HOSTS = range(1, 255)
# Addresses as /proc/net/tcp and tcp6 write them: hexadecimal, each word in the machine's (little-endian) order.
_IPV4, _MAPPED = 8, "0000000000000000FFFF0000"
_EVERYWHERE = ("00000000", "0" * 32, _MAPPED + "00000000", "0000000000000000FFFF000000000000")


@dataclass(slots=True)
class _Block:
    """One /24: whose it is, and which hosts are taken. ``last`` makes addresses go round instead of being reused at once."""

    account: Key
    taken: set[int] = field(default_factory=set)
    last: int = 0

    def take(self) -> int:
        free = (h for h in [*range(self.last + 1, 255), *_HOSTS] if h not in self.taken)
        self.last = next(free)
        self.taken.add(self.last)
        return self.last


class LoopbackNetwork:
    """``network`` is the slice's pod network (kube.addresses.pod_network); ``folder`` keeps who has what."""

    name = "loopback"

    def __init__(self, folder: Path, network: ipaddress.IPv4Network, *, host_ip: str = "127.0.0.1") -> None:
        self._folder, self._network, self._host_ip = folder, network, host_ip
        self._blocks: dict[int, _Block] = {}
        self._pods: dict[str, tuple[int, int]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            self._load(file)

    def _load(self, file: Path) -> None:
        ip, _, account = file.read_text().partition(" ")
        try:
            block, host = divmod(int(ipaddress.IPv4Address(ip)) - int(self._network.network_address), 256)
        except ipaddress.AddressValueError:
            block = -1
        if not 0 <= block <= 255:  # of another slice, or half written: that pod gets a new one
            file.unlink()
            return
        namespace, _, name = account.partition("/")
        known = self._blocks.setdefault(block, _Block(Key(namespace, name)))
        known.taken.add(host)
        known.last = max(known.last, host)
        self._pods[file.name] = (block, host)

    async def attach(self, pod: Object) -> PodAddress:
        """The pod's address. FailedError when the slice is full."""
        if (pod.get("spec") or {}).get("hostNetwork"):
            return PodAddress(ip=self._host_ip, host_ip=self._host_ip)
        uid = uid_of(pod)
        if uid not in self._pods:
            account = account_of(pod)
            place = self._pods[uid] = self._take(account)
            (self._folder / uid).write_text(f"{self._address(*place)} {account}")
        ip = self._address(*self._pods[uid])
        return PodAddress(ip=ip, host_ip=self._host_ip, env={"HOST": ip} | _port(pod))

    async def detach(self, pod_uid: str) -> None:
        place = self._pods.pop(pod_uid, None)
        if place is None:
            return
        block, host = place
        self._blocks[block].taken.discard(host)
        (self._folder / pod_uid).unlink(missing_ok=True)

    async def dial(self, pod: Object, port: int) -> Connection:
        """To the pod's own address: a process that listens on 127.0.0.1 alone cannot be told from any other of the machine."""
        ip = str((pod.get("status") or {}).get("podIP") or self._host_ip)
        try:
            return await asyncio.open_connection(ip, port)
        except OSError as error:
            raise OSError(f"failed to connect to {ip}:{port}: {os.strerror(error.errno or 0).lower()}") from error

    def blocks(self, account: Key) -> list[str]:
        """The /24 networks whose addresses only pods of this ServiceAccount have."""
        return [f"{self._address(n, 0)}/24" for n, b in sorted(self._blocks.items()) if b.account == account]

    def _take(self, account: Key) -> tuple[int, int]:
        for number, block in self._blocks.items():
            if block.account == account and len(block.taken) < len(_HOSTS):
                return number, block.take()
        number = self._free_block()
        self._blocks[number] = _Block(account)
        return number, self._blocks[number].take()

    def _free_block(self) -> int:
        for number in range(256):
            if number not in self._blocks:
                return number
        for number, block in self._blocks.items():
            if not block.taken:
                return number
        raise FailedError(f"no address is free in {self._network}: 256 ServiceAccount blocks are in use")

    def _address(self, block: int, host: int) -> str:
        return str(self._network.network_address + block * 256 + host)


def account_of(pod: Object) -> Key:
    """The pod's ServiceAccount."""
    return Key(meta(pod).get("namespace") or "", (pod.get("spec") or {}).get("serviceAccountName") or "default")


def _port(pod: Object) -> dict[str, str]:
    """PORT, if all containers together declare exactly one TCP port."""
    spec = pod.get("spec") or {}
    ports = {
        p["containerPort"]
        for c in spec.get("containers") or ()
        for p in c.get("ports") or ()
        if p.get("protocol", "TCP") == "TCP" and "containerPort" in p
    }
    return {"PORT": str(ports.pop())} if len(ports) == 1 else {}


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
