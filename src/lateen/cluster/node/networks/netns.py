"""The netns network: each pod has a network namespace of its own on a bridge in the cluster's. As root and without privileges.

The bridge's address is the pods' gateway and every node's; Services are local addresses of the cluster's namespace. One object
serves every node. The daemon lives outside: its sockets to pods come from the keeper (``shim.netns``), made inside.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
from pathlib import Path

from lateen.cluster.node.networks.book import AddressBook, port_variable
from lateen.cluster.node.seam import Connection, PodAddress
from lateen.cluster.node.sysctls import network_sysctls
from lateen.errors import LateenError
from lateen.kube.meta import Key, Object, uid_of
from lateen.shim.netclient import NetworkClient

log = logging.getLogger(__name__)
_FIRST_BLOCK = 1  # the block before is the cluster's own: the bridge


class NetnsNetwork:
    """``pods`` and ``services`` are networks that nobody else in the cluster's namespace has."""

    name = "netns"

    def __init__(self, client: NetworkClient, *, pods: ipaddress.IPv4Network, services: ipaddress.IPv4Network) -> None:
        self._client, self._pods, self._services = client, pods, services
        self.gateway = str(pods[1])
        self._book = AddressBook(client.folder / "addresses", pods, first=_FIRST_BLOCK)

    async def start(self) -> None:
        """The keeper runs and the bridge is there. FailedError with the kernel's reason."""
        pods, services = self._pods, self._services
        await self._client.set_up(
            gateway=self.gateway,
            prefix=pods.prefixlen,
            services=str(services.network_address),
            services_prefix=services.prefixlen,
        )

    async def attach(self, pod: Object) -> PodAddress:
        """The pod's address and namespace. FailedError when the network is full or the kernel refuses."""
        if (pod.get("spec") or {}).get("hostNetwork"):
            return PodAddress(ip=self.gateway, host_ip=self.gateway)
        ip = self._book.take(pod)
        path, _ = await self._client.ask("add", pod=uid_of(pod), ip=ip, sysctls=network_sysctls(pod))
        env = {"HOST": "0.0.0.0"} | port_variable(pod)  # noqa: S104 - of the pod's own namespace
        return PodAddress(ip=ip, host_ip=self.gateway, env=env, netns=Path(path))

    async def detach(self, pod_uid: str) -> None:
        if not self._book.has(pod_uid):
            return
        try:
            await self._client.ask("remove", pod=pod_uid)
        except LateenError as error:
            log.warning("the network namespace of pod %s is left: %s", pod_uid, error)
        self._book.give_back(pod_uid)

    async def dial(self, pod: Object, port: int) -> Connection:
        """To 127.0.0.1 of the pod's namespace, as kubectl port-forward has it."""
        uid = "" if (pod.get("spec") or {}).get("hostNetwork") else uid_of(pod)
        try:
            return await self._connect(uid, "127.0.0.1", port)
        except OSError as error:
            raise OSError(f"failed to connect to localhost:{port}: {os.strerror(error.errno or 0).lower()}") from error

    async def reach(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Connection:
        return await self._connect("", host, port, tls)

    async def _connect(self, pod: str, host: str, port: int, tls: ssl.SSLContext | None = None) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            made = await self._client.open(pod=pod)
        except LateenError as error:
            raise OSError(str(error)) from error
        try:
            await loop.sock_connect(made, (await _numeric(host), port))
            return await asyncio.open_connection(sock=made, ssl=tls, server_hostname=host if tls else None)
        except BaseException:
            made.close()
            raise

    def blocks(self, account: Key) -> list[str]:
        """The /24 networks whose addresses only pods of this ServiceAccount have."""
        return self._book.blocks(account)


async def _numeric(host: str) -> str:
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=socket.AF_INET)
        return str(found[0][4][0])
    return host
