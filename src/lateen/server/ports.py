"""The ports of a cluster on the machine's loopback: what is asked for, what it had before, or the first free one.

Used by ``compose``. They lie below those that the kernel gives to outgoing connections, and are leased: while a cluster runs but
does not listen yet (a proxy listens once there is something to serve) another one would find them free.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lateen.errors import FailedError, InputError
from lateen.shim.client import ShimClient

_MANY = 1500


@dataclass(frozen=True, slots=True)
class Purpose:
    """``first`` is where the search begins."""

    name: str
    first: int

    @property
    def setting(self) -> str:
        return f"{self.name}_port"


API, GATEWAY = Purpose("api", 16443), Purpose("gateway", 18080)


async def choose_port(purpose: Purpose, settings: Mapping[str, Any], system: ShimClient, *, ours: bool = False) -> int:
    """A port that nobody else has. One that the user asked for, once, must be had: InputError says that it is taken. Of others, the
    one that the cluster had before comes first. ``ours``: who listens there is this cluster."""
    wanted, fixed = int(settings[purpose.setting]), purpose.setting in settings.get("fixed", ())
    for port in _candidates(purpose, wanted, fixed=fixed):
        if not _free(port) and not (ours and port == wanted):
            continue
        try:
            return int((await system.lease(purpose.name, [f"lateen-{purpose.name}-{port}"])).rpartition("-")[2])
        except FailedError:
            continue
    option = f"--{purpose.name}-port"
    if not fixed:
        raise InputError(f"there is no free port for {option}", hint=f"name one with {option}")
    hint = f"stop what listens there, or choose another with {option}"
    raise InputError(f"port {wanted} of 127.0.0.1, wanted for {option}, is taken", hint=hint)


def _candidates(purpose: Purpose, wanted: int, *, fixed: bool) -> Iterator[int]:
    if wanted:
        yield wanted
    if not fixed:
        yield from range(purpose.first, purpose.first + _MANY)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not count, listeners do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
