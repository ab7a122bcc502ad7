"""Who keeps a port from being bound: found in /proc, named with its process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lateen.cluster.node.networks.loopback import anywhere, holder


@contextmanager
def listening(address: str, family: int = socket.AF_INET) -> Iterator[int]:
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_listener_on_the_address_itself() -> None:
    with listening("127.0.0.3") as port:
        found = holder("127.0.0.3", port)
        assert found is not None
        assert (found.pid, found.address, found.everywhere) == (os.getpid(), f"127.0.0.3:{port}", False)


def test_a_listener_on_all_addresses_holds_each() -> None:
    with listening("0.0.0.0") as port:
        found = holder("127.0.0.3", port)
        assert found is not None
        assert (found.address, found.everywhere) == (f"*:{port}", True)


def test_a_listener_on_one_address_holds_all_of_them_but_no_other() -> None:
    with listening("127.0.0.3") as port:
        assert holder("127.0.0.4", port) is None
        found = anywhere(port)
        assert found is not None
        assert (found.pid, found.address) == (os.getpid(), f"127.0.0.3:{port}")


def test_a_free_port_is_held_by_nobody() -> None:
    with listening("127.0.0.3") as port:
        pass
    assert holder("127.0.0.3", port) is None
    assert anywhere(port) is None
