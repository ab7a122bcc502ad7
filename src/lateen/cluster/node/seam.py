"""The seams of the node agent: the Gate that a pod's start and end wait for, the Runtime that runs containers, the PodNetwork.

``runtimes/{process,oci}`` implement Runtime, ``networks/{loopback,netns}`` implement PodNetwork, ``images`` implements Images. The
Gate is filled from outside (the server composes traffic in); OpenGate is the default.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lateen.errors import FailedError
from lateen.kube.meta import Object

Blocked = Callable[[str, str], None]


class Gate(Protocol):
    """What stands between a pod and its traffic.

    Order at start: containers ready -> status ContainersReady=True is written -> ``admit`` -> Ready=True. The EndpointSlice
    controller publishes a pod with ContainersReady as ``serving: true, ready: false``, which is what traffic acts on.
    Order at end: deletionTimestamp -> endpoint ``terminating: true`` -> ``withdraw`` (bounded by grace) -> preStop, SIGTERM.
    """

    async def admit(self, pod: Object, blocked: Blocked) -> None:
        """Return once every proxy acknowledged the pod's endpoints (at once if no Service selects it).

        ``blocked(reason, message)`` names what it waits for (a NACK's text, a missing proxy); it may be called many times and
        ends up in the pod's ``lateen.dev/TrafficReady`` condition.
        """
        ...

    async def withdraw(self, pod: Object) -> None:
        """Return once every proxy acknowledged the removal and its in-flight requests to the pod ended. The caller bounds it."""
        ...


class OpenGate:
    """No traffic to wait for."""

    async def admit(self, pod: Object, blocked: Blocked) -> None:
        """Open at once."""

    async def withdraw(self, pod: Object) -> None:
        """Closed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory or file of the host, shown to a container at ``target``."""

    source: Path
    target: str
    read_only: bool = False
    propagation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything a runtime needs to start one attempt of one container; all references are resolved."""

    id: str  # unique: <pod uid>_<container>_<attempt>; survives restarts of the daemon
    pod_uid: str
    name: str
    attempt: int
    image: str  # as written in the pod
    rootfs: Path | None  # unpacked image, None when the runtime needs none
    scratch: Path  # a folder of this attempt's own: changes to the image's files go there
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    log: Path  # receives stdout and stderr as they are; when each part was written is noted beside it (shim.logtimes)
    mounts: Sequence[Mount] = ()
    hostname: str = ""
    uid: int | None = None
    gid: int | None = None
    groups: Sequence[int] = ()
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    stdin: bool = False
    terminal: bool = False
    netns: Path | None = None  # the pod's network namespace; see PodAddress
    pod: Object = field(default_factory=dict)  # as it was at the start, for what only some runtimes can give
    container: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[Path] = ()  # the image's unpacked layers, lowest first; empty when the host's own root is its base
    image_user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """What the runtime knows of one attempt. ``exit_code`` is set once it ended (128 + signal when killed)."""

    id: str
    pid: int
    started_at: str
    finished_at: str = ""
    exit_code: int | None = None
    reason: str = ""  # Completed, Error, OOMKilled, StartError
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImage:
    """An image on this machine: ``digest`` is ``sha256:...``, ``rootfs`` its unpacked files (None: the host's own root, or only
    ``layers``: folders to be laid over each other, lowest first)."""

    digest: str
    rootfs: Path | None
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    layers: Sequence[Path] = ()
    stop_signal: str = ""
    pulled: Pulled | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """How an image was just pulled: seconds for the pull and with waiting for others; bytes of its layers."""

    seconds: float
    waited: float
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Puller:
    """For whom an image is pulled: ``begins`` is told before a registry is asked, ``secrets`` gives the pod's pull secrets."""

    begins: Callable[[], None]
    secrets: Callable[[], Awaitable[Sequence[Object]]]


class ImageError(FailedError):
    """The image cannot be had. ``reason`` is ErrImagePull, ErrImageNeverPull or InvalidImageName."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Images(Protocol):
    """Where images come from."""

    async def ensure(self, ref: str, policy: str, puller: Puller | None = None, *, whole: bool = False) -> LocalImage:
        """The image, unpacked (``whole``: always in one folder, ``rootfs``). ``policy`` is Always, IfNotPresent or Never. Without
        ``puller`` it is as with Never. ImageError with a message a person can act on."""
        ...

    async def reclaim(self) -> int:
        """Free what images take that no pod uses; the bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """File descriptors for a command: one terminal as ``stdout``, or three pipes (``stdin`` None: it reads nothing)."""

    stdin: int | None
    stdout: int
    stderr: int | None
    terminal: bool = False

    @property
    def handles(self) -> list[int]:
        """All of them, in order."""
        return [h for h in (self.stdin, self.stdout, self.stderr) if h is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEnd:
    """How a streamed command ended. ``problem`` says why it could not be started."""

    exit_code: int
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What something has used: processor time since it started; resident memory, and the part of it that belongs to no file."""

    cpu_seconds: float
    memory: int
    rss: int
    processes: int


class Runtime(Protocol):
    """Runs containers. Every method is idempotent by container id, because the daemon may have died in the middle."""

    name: str

    def refuses(self, pod: Object) -> str:
        """Why this runtime cannot run ``pod`` (a sentence for an event that names the runtime that can), or ''."""
        ...

    def lacks(self, pod: Object) -> str:
        """What of ``pod``'s wishes is not kept here though it runs (a sentence for an event), or ''."""
        ...

    async def start(self, spec: ContainerSpec) -> ContainerState:
        """Start the attempt, or find it already started. FailedError with reason when it cannot start."""
        ...

    async def states(self) -> Mapping[str, ContainerState]:
        """Every attempt this runtime knows, running or ended, by id: how a restarted daemon adopts."""
        ...

    async def wait(self, container_id: str) -> ContainerState:
        """The final state, once ended. No exit code is lost across restarts of the daemon."""
        ...

    async def signal(self, container_id: str, signal: int) -> None:
        """Send a signal to the container's whole process group (SIGKILL: to all that came of it). Nothing happens if it ended."""
        ...

    async def exec(self, container_id: str, argv: Sequence[str], *, seconds: float) -> tuple[int, bytes]:
        """Run a command beside the container with its environment: (exit code, output). For probes and hooks."""
        ...

    async def stream(self, container_id: str, argv: Sequence[str], stdio: Stdio) -> CommandEnd:
        """Run a command beside the container on ``stdio``, whose descriptors are taken and closed. Returns at its end;
        cancelled, it lets the command go on. FailedError when the container does not run. The command ends with the container."""
        ...

    async def input(self, container_id: str) -> int:
        """A descriptor that writes to the container's stdin, or is our end of its terminal; the caller closes it. FailedError when
        the container has neither, or its stdin was ended."""
        ...

    async def end_input(self, container_id: str) -> None:
        """Let the container's stdin end; a terminal stays."""
        ...

    async def usage(self) -> Mapping[str, Used]:
        """What each running attempt has used, by id."""
        ...

    async def resize(self, container_id: str, container: Mapping[str, Any]) -> None:
        """Give a running container the resources that ``container`` asks for. FailedError when this runtime cannot; OSError."""
        ...

    async def remove(self, container_id: str) -> None:
        """Forget an ended attempt and release what it held."""
        ...

    async def drop_pod(self, pod_uid: str) -> None:
        """Release what the pod held beyond its containers, which are removed already. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAddress:
    """A pod's place on the network, and the environment variables that tell the application (HOST, PORT).

    ``netns`` is a file that stands for the pod's own network namespace, seen from processes that the node's shim starts. None: the
    network that the shim lives in (``loopback``, or a pod with hostNetwork)."""

    ip: str
    host_ip: str
    env: Mapping[str, str] = field(default_factory=dict)
    netns: Path | None = None


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PodNetwork(Protocol):
    """Gives each pod its address; pods of one ServiceAccount share /24 blocks. ``loopback``: a 127.x address of this machine.
    ``netns``: a network namespace of its own, on a bridge in the cluster's."""

    name: str

    async def attach(self, pod: Object) -> PodAddress:
        """The pod's address; the same one on every call for the same UID, across restarts of the daemon."""
        ...

    async def detach(self, pod_uid: str) -> None:
        """Give the address back. Idempotent."""
        ...

    async def dial(self, pod: Object, port: int) -> Connection:
        """A TCP connection to a port of the pod, as from inside it (for port-forward and proxies). OSError with a sentence."""
        ...

    async def reach(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> Connection:
        """A connection from the node to an address of its network (for probes). OSError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What of a log: PodLogOptions of the API. ``since`` is a moment in seconds since 1970."""

    container: str = ""
    previous: bool = False
    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None
    limit_bytes: int | None = None


class NodeLogs(Protocol):
    """What ``kubectl logs`` asks of a node."""

    def read(self, pod: Object, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of the log; with ``follow`` until the container ended for good. BadRequestError (before the first chunk) for an
        unknown container, or one that has not started yet, worded as the kubelet does."""
        ...
