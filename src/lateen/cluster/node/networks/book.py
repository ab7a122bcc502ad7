"""Who has which address: pods of one ServiceAccount share /24 blocks of a network, as many as they need, so that a block names a
caller. Each address is a small file, so that a pod keeps its own across restarts of the daemon. Used by every pod network.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from lateen.errors import FailedError
from lateen.kube.meta import Key, Object, meta, uid_of

_HOSTS = range(1, 255)


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


class AddressBook:
    """``network`` is a /16; ``folder`` keeps who has what; blocks before ``first`` are not given away."""

    def __init__(self, folder: Path, network: ipaddress.IPv4Network, *, first: int = 0) -> None:
        self._folder, self._network, self._first = folder, network, first
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
        if not self._first <= block <= 255:  # of another slice, or half written: that pod gets a new one
            file.unlink()
            return
        namespace, _, name = account.partition("/")
        known = self._blocks.setdefault(block, _Block(Key(namespace, name)))
        known.taken.add(host)
        known.last = max(known.last, host)
        self._pods[file.name] = (block, host)

    def take(self, pod: Object) -> str:
        """The pod's address, the same one for the same UID. FailedError when all are taken."""
        uid = uid_of(pod)
        if uid not in self._pods:
            account = account_of(pod)
            place = self._pods[uid] = self._take(account)
            (self._folder / uid).write_text(f"{self._address(*place)} {account}")
        return self._address(*self._pods[uid])

    def give_back(self, pod_uid: str) -> str:
        """The address that the pod had, '' if it had none."""
        place = self._pods.pop(pod_uid, None)
        if place is None:
            return ""
        block, host = place
        self._blocks[block].taken.discard(host)
        (self._folder / pod_uid).unlink(missing_ok=True)
        return self._address(*place)

    def has(self, pod_uid: str) -> bool:
        """Whether the pod has an address."""
        return pod_uid in self._pods

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
        for number in range(self._first, 256):
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


def port_variable(pod: Object) -> dict[str, str]:
    """PORT, if all containers together declare exactly one TCP port."""
    spec = pod.get("spec") or {}
    ports = {
        p["containerPort"]
        for c in spec.get("containers") or ()
        for p in c.get("ports") or ()
        if p.get("protocol", "TCP") == "TCP" and "containerPort" in p
    }
    return {"PORT": str(ports.pop())} if len(ports) == 1 else {}
