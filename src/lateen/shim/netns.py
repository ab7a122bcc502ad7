"""The keeper of a cluster's network: the first process in its namespaces, which lays a cable to each pod's own namespace.

``python -m lateen.shim.netns --socket PATH --folder DIR``, started by the ``system`` shim and driven by ``netclient``. A pod's
namespace is a file in DIR, bound in the cluster's mount namespace: it stays while containers come and go. Sockets made inside are
handed out as descriptors, so the daemon, which lives outside, can connect and listen in here.

Protocol: a sequenced-packet Unix socket; one JSON object per packet, one answer to each in order, a descriptor beside some.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
from typing import Any

from lateen.shim import namespaces
from lateen.shim.netlink import Netlink
from lateen.shim.syscalls import CLONE_NEWNET, MS_BIND, mount, set_name, setns, unmount, unshare

BRIDGE, _PACKET = "pods", 1 << 16
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Keeper:
    """The network: a bridge in this process's namespace, a cable from it to each pod's."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._links = Netlink()
        self._gateway, self._prefix = "", 0
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):
            if not self._bound(self.path(name)):
                os.unlink(self.path(name))  # of a time before the machine, or the whole cluster, was stopped

    def setup(self, gateway: str, prefix: int, services: str, services_prefix: int) -> None:
        """The bridge with its address, which is every pod's gateway; ``services`` are all addresses of this namespace."""
        self._gateway, self._prefix = gateway, prefix
        _tune()
        _set("ipv4/ip_forward", "1")  # what pods send beyond the cluster goes on, if there is a way out
        self._links.set_up("lo")
        with contextlib.suppress(FileExistsError):
            self._links.add_bridge(BRIDGE, _mac(gateway))
        self._links.add_address(BRIDGE, gateway, prefix)
        self._links.set_up(BRIDGE)
        self._links.add_local(services, services_prefix)
        _set("ipv4/conf/default/proxy_arp", "1")  # the way out asks for pods on a device of its own

    def add(self, pod: str, ip: str, sysctls: dict[str, str] | None = None) -> str:
        """A namespace with the address ``ip`` and ``sysctls``, paths below /proc/sys/net; its file. The same one if it is there."""
        path = self.path(pod)
        if not self._bound(path):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._links.delete(_cable(ip))  # left of a pod that had this address
            try:
                self._make(path, ip, sysctls or {})
                self._links.set_up(_cable(ip), master=BRIDGE)
            except OSError:
                self.remove(pod)
                raise
        return path

    def _make(self, path: str, ip: str, sysctls: dict[str, str]) -> None:
        unshare(CLONE_NEWNET)
        try:
            _tune()
            for name, value in sysctls.items():
                with open(f"/proc/sys/net/{name}", "w") as file:  # the pod asked for it: an error is its error
                    file.write(value)
            with Netlink() as inside:
                inside.add_cable("eth0", _mac(ip), peer=_cable(ip), peer_namespace=self._home)
                inside.set_up("lo")
                inside.add_address("eth0", ip, self._prefix)
                inside.set_up("eth0")
                inside.add_default_route(self._gateway)
            mount("/proc/thread-self/ns/net", path, "", MS_BIND)
        finally:
            setns(self._home)

    def remove(self, pod: str) -> None:
        """Let the namespace go: once its last process ended, it goes with its cable. (To cut the cable now would take the kernel
        20 ms, while others wait.) Idempotent."""
        path = self.path(pod)
        if self._bound(path):
            unmount(path)
        if os.path.exists(path):
            os.unlink(path)

    def open(self, pod: str, kind: str, bind: tuple[str, int] | None) -> socket.socket:
        """A socket in a pod's namespace, or in the cluster's where ``pod`` is empty; bound (and listening, TCP) if asked."""
        self._go(pod)
        try:
            made = socket.socket(socket.AF_INET, _KINDS[kind])
        finally:
            if pod:
                setns(self._home)
        if bind is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(bind)
            if kind == "tcp":
                made.listen(512)
        return made

    def _go(self, pod: str) -> None:
        if pod:
            handle = os.open(self.path(pod), os.O_RDONLY | os.O_CLOEXEC)
            try:
                setns(handle)
            finally:
                os.close(handle)

    def path(self, pod: str) -> str:
        """The file that stands for a pod's namespace."""
        if not pod or "/" in pod or pod.startswith("."):
            raise ValueError(f"{pod!r} is not a pod's uid")
        return os.path.join(self._folder, pod)

    def _bound(self, path: str) -> bool:
        try:
            return os.stat(path).st_dev != os.stat(self._folder).st_dev
        except FileNotFoundError:
            return False


def _tune() -> None:
    """Any user may listen on any port and ping, as container runtimes have it; links speak IPv4 only."""
    for name, value in (
        ("ipv4/ip_unprivileged_port_start", "0"),
        ("ipv4/ping_group_range", "0 0"),
        ("ipv6/conf/default/disable_ipv6", "1"),
    ):
        _set(name, value)


def _set(name: str, value: str) -> None:
    """Set what the kernel lets us set."""
    with contextlib.suppress(OSError), open(f"/proc/sys/net/{name}", "w") as file:
        file.write(value)


def _mac(ip: str) -> bytes:
    return b"\x0a\x58" + socket.inet_aton(ip)  # of the address, so that who has it next is found at once


def _cable(ip: str) -> str:
    return "pod" + socket.inet_aton(ip).hex()


class Server:
    """Answers packets until told to end."""

    def __init__(self, keeper: Keeper, listener: socket.socket) -> None:
        self._keeper, self._listener = keeper, listener
        self._clients: dict[int, socket.socket] = {}

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._listener.fileno():
                    client, _ = self._listener.accept()
                    self._clients[client.fileno()] = client
                    poll.register(client, select.POLLIN)
                elif not self._serve(self._clients[fd]):
                    poll.unregister(fd)
                    self._clients.pop(fd).close()

    def _serve(self, client: socket.socket) -> bool:
        """Answer one packet; False when the client has gone."""
        try:
            packet = client.recv(_PACKET)
            if not packet:
                return False
            answer, made = self._answer(json.loads(packet))
            try:
                socket.send_fds(client, [json.dumps(answer).encode()], [one.fileno() for one in made])
            finally:
                for one in made:
                    one.close()
        except OSError:
            return False
        return True

    def _answer(self, ask: dict[str, Any]) -> tuple[dict[str, Any], list[socket.socket]]:
        do, result = ask.pop("do"), None
        made: list[socket.socket] = []
        try:
            if do == "socket":
                bind = ask["bind"]
                where = (bind[0], bind[1]) if bind else None
                made = [self._keeper.open(ask["pod"], ask["kind"], where) for _ in range(ask["count"])]
            elif do == "add":
                result = self._keeper.add(**ask)
            elif do == "remove":
                self._keeper.remove(**ask)
            elif do == "setup":
                self._keeper.setup(**ask)
            else:
                raise ValueError(f"unknown request {do!r}")
        except OSError as error:
            return {"error": f"{do}: {error.strerror or error}", "errno": error.errno}, []
        except (ValueError, TypeError, KeyError) as error:
            return {"error": f"{do}: {error}", "errno": 0}, []
        return {"result": result}, made


def main() -> None:
    """Make the namespaces, or enter those of the first process of ``--rejoin`` that still has some of its own; then serve."""
    parser = argparse.ArgumentParser(prog="lateen-network")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--rejoin", type=int, nargs="*", default=[])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(options.socket)
    try:
        if not any(_rejoin(pid) for pid in options.rejoin):
            namespaces.create()
        keeper = Keeper(options.folder)
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        sys.exit(1)
    set_name("lateen-network")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mask = os.umask(0o077)
    listener.bind(options.socket + ".new")
    os.umask(mask)
    listener.listen(16)
    os.rename(options.socket + ".new", options.socket)  # who finds it is answered
    # In a thread: it goes from namespace to namespace, and others enter this process's own by its pid, at any moment.
    serving = threading.Thread(target=Server(keeper, listener).run, daemon=True)
    serving.start()
    serving.join()
    sys.exit(1)


def _rejoin(pid: int) -> bool:
    """Whether the process lives in namespaces of a cluster, which are ours now."""
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
            return False
        namespaces.enter(pid)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
