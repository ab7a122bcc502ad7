"""The process runtime: a host process per container, owned by the node's shim. Needs no root, no Docker and no daemon of its own.

Where the kernel allows mount namespaces (as root, or in an unprivileged user namespace) a container sees the host's root with the
image's folders and its volumes laid over it at their absolute paths; changes to the image's files go to a folder of the attempt.
Where it does not, paths in the arguments, the environment and the working directory that lie in the image or in a volume are
rewritten to where they are on the host: an application that opens such a path by a literal in its code does not find it.

Not isolated: processes, users, network (the address is given, not enforced) and resources. docs/limits.md says so.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from lateen.cluster.node.runtimes.oom import least_oom_score, oom_score_adj
from lateen.cluster.node.runtimes.processes import measure
from lateen.cluster.node.runtimes.wishes import unkept
from lateen.cluster.node.seam import CommandEnd, ContainerSpec, ContainerState, Stdio, Used
from lateen.errors import FailedError
from lateen.kube.meta import Object
from lateen.shim.client import Process, ShimClient, Spawn

POD = "pod"  # the label that tells containers from anything else the shim may own
RUNTIME = "runtime"  # the label of containers of another runtime


class ProcessRuntime:
    """Runs containers through the shim of one node."""

    name = "process"

    def __init__(self, shim: ShimClient) -> None:
        self._shim = shim

    def refuses(self, pod: Object) -> str:
        return ""

    def lacks(self, pod: Object) -> str:
        missed = unkept(pod, root=os.geteuid() == 0)
        if not missed:
            return ""
        return f"{', '.join(missed)}: not kept for a process of this machine; the oci runtime does (runtimeClassName: oci)"

    async def start(self, spec: ContainerSpec) -> ContainerState:
        await self._shim.connect()
        for mount in spec.mounts:
            if not mount.source.exists():
                raise FailedError(f"failed to mount {mount.source} at {mount.target}: no such file or directory")
        return state_of(await self._shim.spawn(_seen(spec) if self._shim.can_view else _rewritten(spec)))

    async def states(self) -> Mapping[str, ContainerState]:
        await self._shim.connect()
        return {p.id: state_of(p) for p in self._shim.processes().values() if POD in p.labels and RUNTIME not in p.labels}

    async def wait(self, container_id: str) -> ContainerState:
        return state_of(await self._shim.wait(container_id))

    async def signal(self, container_id: str, signal: int) -> None:
        await self._shim.signal(container_id, signal, session=signal == _KILL)

    async def exec(self, container_id: str, argv: Sequence[str], *, seconds: float) -> tuple[int, bytes]:
        done = await self._shim.exec(argv, beside=container_id, seconds=seconds)
        if done.timed_out:
            return done.exit_code, f"command {' '.join(argv)!r} timed out after {seconds:g}s".encode()
        return done.exit_code, done.output.encode()

    async def stream(self, container_id: str, argv: Sequence[str], stdio: Stdio) -> CommandEnd:
        env = {"TERM": "xterm"} if stdio.terminal else {}
        end = await self._shim.stream(
            argv, stdio.handles, stdin=stdio.stdin is not None, terminal=stdio.terminal, beside=container_id, env=env
        )
        return CommandEnd(exit_code=end.exit_code, problem=end.problem)

    async def input(self, container_id: str) -> int:
        return await self._shim.input(container_id)

    async def end_input(self, container_id: str) -> None:
        await self._shim.end_input(container_id)

    async def usage(self) -> Mapping[str, Used]:
        await self._shim.connect()
        roots = {p.pid: p.id for p in self._shim.processes().values() if p.alive and POD in p.labels and RUNTIME not in p.labels}
        return await asyncio.to_thread(measure, roots, self._shim.pid)

    async def resize(self, container_id: str, container: Mapping[str, Any]) -> None:
        raise FailedError("the process runtime keeps no limits that could change: the oci runtime does (runtimeClassName: oci)")

    async def remove(self, container_id: str) -> None:
        await self._shim.forget(container_id)

    async def drop_pod(self, pod_uid: str) -> None:
        """Nothing is held."""


_KILL = signal.SIGKILL


@cache
def _machine() -> tuple[int, int]:
    """What this user may give as an OOM score at the least, and the machine's memory."""
    return least_oom_score(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _spawn(spec: ContainerSpec) -> Spawn:
    least, memory = _machine()
    return Spawn(
        id=spec.id,
        argv=spec.argv,
        env=spec.env,
        cwd=spec.cwd,
        log=spec.log,
        uid=spec.uid,
        gid=spec.gid,
        groups=spec.groups,
        stdin=spec.stdin,
        terminal=spec.terminal,
        netns=spec.netns,
        oom_score_adj=max(least, oom_score_adj(spec.pod, spec.container, memory)),
        labels={POD: spec.pod_uid, "container": spec.name},
    )


def _seen(spec: ContainerSpec) -> Spawn:
    """With a view: everything at its absolute path."""
    mounts = [(str(m.source), m.target, m.read_only) for m in spec.mounts]
    layers, base = [], None
    if spec.rootfs is not None:
        names = sorted(e.name for e in os.scandir(spec.rootfs))
        if {"usr", "bin"} & set(names):  # a whole system: it is the root, with the kernel's folders and the host's names in it
            base = spec.rootfs
            mounts = [*((p, p, False) for p in ("/proc", "/sys", "/dev")), *_host_files(), *mounts]
        else:
            layers = [(str(spec.rootfs / n), f"/{n}", str(spec.scratch / n)) for n in names]
    return replace(_spawn(spec), mounts=mounts, layers=layers, base=base, hostname=spec.hostname)


def _host_files() -> list[tuple[str, str, bool]]:
    return [(p, p, True) for p in ("/etc/resolv.conf",) if os.path.exists(p)]  # noqa: PTH110 - it is text all along


def _rewritten(spec: ContainerSpec) -> Spawn:
    """Without a view: paths are the host's."""
    at = [(m.target.rstrip("/"), str(m.source)) for m in spec.mounts]
    if spec.rootfs is not None:
        at += [(f"/{e.name}", e.path) for e in os.scandir(spec.rootfs)]
    at.sort(key=lambda pair: -len(pair[0]))

    def path(text: str) -> str:
        for target, source in at:
            if text == target or text.startswith(target + "/"):
                return source + text[len(target) :]
        return text

    def value(text: str) -> str:
        return ":".join(path(part) for part in text.split(":")) if "://" not in text else text

    env = {k: value(v) for k, v in spec.env.items()}
    return replace(_spawn(spec), argv=[path(a) for a in spec.argv], env=env, cwd=path(spec.cwd))


def state_of(process: Process) -> ContainerState:
    """What the shim knows, as the node calls it."""
    return ContainerState(
        id=process.id,
        pid=process.pid,
        started_at=process.started_at,
        finished_at=process.finished_at,
        exit_code=process.exit_code,
        reason=process.reason,
        message=process.message,
    )
