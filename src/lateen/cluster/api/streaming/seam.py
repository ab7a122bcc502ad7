"""The seams of streaming: what a node gives (``Nodes``), what the HTTPS door gives (``Socket``), and an answer that upgrades."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lateen.cluster.api import statuses
from lateen.kube.meta import Object


class Socket(Protocol):
    """A WebSocket under way. ``protocol`` is the subprotocol that was agreed on, '' without one."""

    protocol: str

    async def receive(self) -> bytes | None:
        """The next message; None when the client has gone or said goodbye."""
        ...

    async def send(self, data: bytes) -> None:
        """One message; it waits for a slow client. Nothing happens when the client has gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """An answer that becomes a WebSocket: it speaks one of ``protocols`` (best first), and ends when ``serve`` returns."""

    protocols: Sequence[str]
    serve: Callable[[Socket], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """What of a container's streams a client wants."""

    container: str
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class End(Protocol):
    """How a command ended. ``problem`` says why it could not be started."""

    @property
    def exit_code(self) -> int: ...
    @property
    def problem(self) -> str: ...


class Session(Protocol):
    """A process' streams; opening one started the process. It must be closed."""

    def outputs(self) -> Mapping[str, AsyncGenerator[bytes, None]]:
        """``stdout``, and ``stderr`` where it is apart; each ends with the process."""
        ...

    async def write(self, data: bytes) -> None:
        """Input; waits until it is taken."""
        ...

    async def end_input(self) -> None:
        """There is no more input."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """The terminal's size."""
        ...

    async def wait(self) -> End:
        """The end."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


Opener = Callable[[], Session]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[int], Awaitable[Connection]]


class Use(Protocol):
    """What something uses: cores (over the window) and bytes."""

    @property
    def cores(self) -> float: ...
    @property
    def memory(self) -> int: ...


class NodeUsage(Protocol):
    """What a node and its containers use; ``pods`` by UID, then by container."""

    @property
    def at(self) -> datetime: ...
    @property
    def window(self) -> float: ...
    @property
    def node(self) -> Use: ...
    @property
    def pods(self) -> Mapping[str, Mapping[str, Use]]: ...


class Nodes(Protocol):
    """The nodes' side of what a client does to a container. Errors of the API tree become the answer."""

    def exec(self, pod: Object, argv: Sequence[str], options: StreamOptions) -> Opener:
        """What starts a command in a container, which runs now."""
        ...

    def attach(self, pod: Object, options: StreamOptions) -> Opener:
        """What joins a running container."""
        ...

    async def usage(self, node: str) -> NodeUsage | None:
        """What is used on a node now; None where nothing is measured. LateenError when the node cannot be asked."""
        ...

    async def page(self, node: str, path: str) -> tuple[str, bytes] | None:
        """A page of the kubelet: (content type, body); None when it has no such page. LateenError as ``usage``."""
        ...

    async def dial(self, pod: Object, port: int) -> Connection:
        """A TCP connection to a port of the pod. OSError with a sentence when there is none to be had."""
        ...


class NoNodes:
    """A server without nodes."""

    def exec(self, pod: Object, argv: Sequence[str], options: StreamOptions) -> Opener:
        raise unreachable(pod)

    def attach(self, pod: Object, options: StreamOptions) -> Opener:
        raise unreachable(pod)

    async def usage(self, node: str) -> NodeUsage | None:
        return None

    async def page(self, node: str, path: str) -> tuple[str, bytes] | None:
        raise statuses.internal(f"no node agent serves node {node!r}")

    async def dial(self, pod: Object, port: int) -> Connection:
        raise unreachable(pod)


def unreachable(pod: Object) -> Exception:
    """The error for a pod whose node has no agent here."""
    node = (pod.get("spec") or {}).get("nodeName") or ""
    return statuses.internal(f"no node agent serves node {node!r}")
