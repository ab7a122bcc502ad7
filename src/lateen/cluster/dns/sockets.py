"""Where the DNS server listens: an address of the services' network, port 53, inside the cluster's own network or on the machine.

Used by ``boot``. The server's process gets its sockets from the daemon; in a network of the cluster's own the keeper makes them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from lateen.cluster.dns.feed import ID, PORT, Opener
from lateen.shim.client import ShimClient
from lateen.shim.netclient import NetworkClient

DNS_HOST = 10  # kubeadm gives DNS the tenth address, and charts believe it
_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


def opener(network: NetworkClient | None) -> Opener:
    """Makes bound sockets by kind and address."""

    async def make(kind: str, address: str) -> socket.socket:
        if network is not None:
            return await network.open(kind, bind=(address, PORT))
        return _bound(kind, address)

    return make


def place(network: NetworkClient | None) -> Callable[[], str]:
    """Names the network in which sockets are made: a new namespace has another name."""
    return network.place if network is not None else lambda: "machine"


def hindrance(address: str, system: ShimClient, network: NetworkClient | None, unprivileged_start: int) -> str:
    """Why nothing can listen at ``address``; '' if it can, or the server does already."""
    known = system.processes().get(ID)
    if network is not None or (known is not None and known.alive):
        return ""
    if unprivileged_start > PORT:
        return f"on the loopback network this user may not listen on port {PORT}"
    try:
        for kind in _KINDS:
            _bound(kind, address).close()
    except OSError as error:
        return f"{address}:{PORT}: {error.strerror}"
    return ""


def _bound(kind: str, address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, _KINDS[kind])
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, PORT))
        if kind == "tcp":
            made.listen(512)
    except OSError:
        made.close()
        raise
    return made
