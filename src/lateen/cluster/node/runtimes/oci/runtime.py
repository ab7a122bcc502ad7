"""The oci runtime: a container with namespaces, cgroup and root file system of its own, started by crun or runc through the shim.

The shim owns the container's first process (log, exit code), so nothing here has to live for a container to go on. On disk, under
``folder``: ``<container id>/`` with the bundle, what the container changed, and ``end`` once it has ended and all was released.
Containers of one pod share IPC, host name and, where asked, processes: a sleeping process of the shim's holds those namespaces.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lateen.cluster.node.runtimes import oom
from lateen.cluster.node.runtimes.oci import bundle, cgroups, rootfs, security
from lateen.cluster.node.runtimes.oci.bundle import Machine, Place
from lateen.cluster.node.runtimes.oci.cgroups import Cgroups
from lateen.cluster.node.runtimes.oci.engine import Engine
from lateen.cluster.node.runtimes.oci.sandbox import Sandboxes
from lateen.cluster.node.runtimes.process import POD, RUNTIME, state_of
from lateen.cluster.node.runtimes.processes import measure
from lateen.cluster.node.seam import CommandEnd, ContainerSpec, ContainerState, Stdio, Used
from lateen.errors import FailedError
from lateen.kube.meta import Object
from lateen.shim.client import Process, ShimClient, Spawn

_RELEASE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OciSettings:
    """``folder`` is the runtime's own; ``seccomp`` holds Localhost profiles, ``shared`` the pods' /dev/shm; ``memory`` is the
    node's, in bytes."""

    folder: Path
    seccomp: Path
    shared: Path
    memory: int
    overlay: bool = True


class OciRuntime:
    """Runs containers through the shim of one node with ``engine``."""

    name = "oci"

    def __init__(self, shim: ShimClient, engine: Engine, groups: Cgroups, settings: OciSettings) -> None:
        self._shim, self._engine, self._cgroups, self._settings = shim, engine, groups, settings
        self._sandboxes = Sandboxes(shim, settings.folder.parent / "sandboxes", settings.shared)
        self._releasing: dict[str, asyncio.Lock] = {}
        self._execs = 0
        self._machine = Machine(
            uname=os.uname().machine,
            memory=settings.memory,
            unified=groups.unified,
            swap=groups.swap,
            rootless=os.geteuid() != 0,
            least_oom_score=oom.least_oom_score(),
            bounding=_bounding() if os.geteuid() == 0 else -1,  # in a user namespace of its own a user may give all
        )

    def refuses(self, pod: Object) -> str:
        spec = pod.get("spec") or {}
        if spec.get("hostUsers") is False:
            return "the oci runtime gives pods no user namespaces of their own yet (hostUsers: false)"
        return ""

    def lacks(self, pod: Object) -> str:
        containers = (pod.get("spec") or {}).get("containers") or ()
        limits = sorted({k for c in containers for k in (c.get("resources") or {}).get("limits") or {}})
        found = []
        if limits and not self._cgroups.usable:
            found.append(f"limits of {' and '.join(limits)} are not enforced: this user can make no control groups here")
        users = sorted({int(security.context(pod, c).get("runAsUser") or 0) for c in containers} - {0})
        if users and self._machine.rootless:
            names = " and ".join(map(str, users))
            found.append(f"user {names} is not there: without privileges a container has one user, who runs this node")
        return "; ".join(found)

    # Start

    async def start(self, spec: ContainerSpec) -> ContainerState:
        await self._shim.connect()
        known = self._shim.processes().get(spec.id)
        if known is not None:
            return self._state(known)
        for mount in spec.mounts:
            if not mount.source.exists():
                raise FailedError(f"failed to mount {mount.source} at {mount.target}: no such file or directory")
        namespaces = await self._namespaces(spec)
        spawn = await asyncio.to_thread(self._make, spec, namespaces)
        process = await self._shim.spawn(spawn)
        if process.alive and self._cgroups.usable:
            await asyncio.to_thread(self._limit, spec.id)
        elif not process.alive:
            return await self._released(process)
        return self._state(process)

    async def _namespaces(self, spec: ContainerSpec) -> dict[str, str]:
        """The namespaces that exist before the container, by kind: the pod's, or '' for the host's."""
        hosts = bundle.host_namespaces(spec.pod)
        found = {"network": str(spec.netns or ""), **hosts}
        if self._sandboxes.wanted(spec.pod):
            found |= {k: v for k, v in (await self._sandboxes.ensure(spec.pod, hosts)).items() if k not in hosts}
        if target := self._target(spec):
            found["pid"] = f"/proc/{target}/ns/pid"
        return found

    def _target(self, spec: ContainerSpec) -> int:
        """The first process of the container whose processes an ephemeral container wants to see; 0 for none."""
        wanted = spec.container.get("targetContainerName")
        for process in self._shim.processes().values() if wanted else ():
            labels = process.labels
            if process.alive and labels.get(POD) == spec.pod_uid and labels.get("container") == wanted:
                return process.pid
        return 0

    def _make(self, spec: ContainerSpec, namespaces: Mapping[str, str]) -> Spawn:
        """Everything on disk that the engine needs. Blocking."""
        folder = self._folder(spec.id)
        folder.mkdir(parents=True, exist_ok=True)
        user = security.user(spec.pod, spec.container, spec.image_user, rootfs.accounts(spec))
        if self._machine.rootless:
            user = security.User(uid=0, gid=0)  # the only one there is: who runs this node (see ``lacks``)
        root = rootfs.make(spec, folder, overlay=self._settings.overlay)
        place = Place(
            root=root.path,
            cgroup=self._cgroups.path(spec.id) if self._cgroups.usable else "",
            hostname=spec.hostname,
            namespaces=namespaces,
            base=[*root.mounts, *self._names(spec, folder)],
            shared_memory=self._sandboxes.shared_memory(spec.pod_uid) if namespaces.get("ipc") else None,
            localhost_seccomp=self._localhost(spec),
        )
        (folder / "config.json").write_text(json.dumps(bundle.config(spec, user, place, self._machine)))
        (folder / "quota").write_text(str(cgroups.quota(spec.container)))
        return Spawn(
            id=spec.id,
            argv=self._engine.run(spec.id, folder, attached=spec.terminal),
            env={"PATH": os.defpath},
            log=spec.log,
            stdin=spec.stdin,
            terminal=spec.terminal,
            pid_file=None if spec.terminal else folder / "pid",
            problems=folder / "problems",
            stage=[*self._cover(), *root.stage],
            labels={POD: spec.pod_uid, "container": spec.name, RUNTIME: self.name},
        )

    def _cover(self) -> list[dict[str, str]]:
        """crun refuses machines that have both versions of cgroups: it is shown the first only."""
        if self._cgroups.unified or not self._cgroups.mixed:
            return []
        return [{"kind": "tmpfs", "source": "tmpfs", "target": "/sys/fs/cgroup/unified"}]

    def _names(self, spec: ContainerSpec, folder: Path) -> list[dict[str, Any]]:
        """/etc/hostname and resolv.conf, unless the pod brings its own."""
        mine = folder / "hostname"
        mine.write_text(spec.hostname + "\n")
        files = {"/etc/hostname": str(mine), "/etc/resolv.conf": "/etc/resolv.conf"}
        given = {m.target for m in spec.mounts}
        return [
            bundle.bound(at, source, read_only=False) for at, source in files.items() if at not in given and Path(source).exists()
        ]

    def _localhost(self, spec: ContainerSpec) -> Mapping[str, Any] | None:
        wanted = security.context(spec.pod, spec.container).get("seccompProfile") or {}
        if wanted.get("type") != "Localhost":
            return None
        path = self._settings.seccomp / wanted["localhostProfile"]
        try:
            found: Mapping[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise FailedError(f'cannot load seccomp profile "{path}": {error}') from error
        return found

    def _limit(self, container_id: str) -> None:
        quota = int(_read(self._folder(container_id) / "quota") or 0)
        if quota:
            try:
                self._cgroups.limit_cpu(container_id, quota)
            except FileNotFoundError:
                return  # it has ended already

    # Life

    async def states(self) -> Mapping[str, ContainerState]:
        await self._shim.connect()
        found = {p.id: p for p in self._shim.processes().values() if p.labels.get(RUNTIME) == self.name}
        if self._cgroups.usable:
            for process in found.values():
                if process.alive:
                    await asyncio.to_thread(self._limit, process.id)
        await self._drop_unknown(found)
        return {p.id: self._state(p) if p.alive else await self._released(p) for p in found.values()}

    async def _drop_unknown(self, known: Mapping[str, Process]) -> None:
        """Bundles that were made for a container which was never started, sandboxes without a pod."""
        if self._settings.folder.is_dir():
            for entry in await asyncio.to_thread(os.listdir, self._settings.folder):
                if entry not in known:
                    await asyncio.to_thread(rootfs.remove, self._settings.folder / entry)
        await self._sandboxes.drop_unused(self._pods())

    def _pods(self) -> set[str]:
        return {p.labels[POD] for p in self._shim.processes().values() if p.labels.get(RUNTIME) == self.name}

    async def wait(self, container_id: str) -> ContainerState:
        return await self._released(await self._shim.wait(container_id))

    async def _released(self, process: Process) -> ContainerState:
        """The final state of an ended container; what it held is let go, once."""
        async with self._releasing.setdefault(process.id, asyncio.Lock()):
            folder = self._folder(process.id)
            if not (folder / "end").exists():
                killed = await asyncio.to_thread(self._cgroups.oom_kills, process.id) if self._cgroups.usable else 0
                await asyncio.to_thread(self._cgroups.kill, process.id)  # what it left behind in a shared pid namespace
                reason = "OOMKilled" if killed and process.exit_code else ""
                await self._engine_says(self._engine.delete(process.id, folder / "problems"))
                await asyncio.to_thread(_write_end, folder, reason)
            return self._state(process)

    async def _engine_says(self, argv: Sequence[str]) -> int:
        done = await self._shim.exec(argv, seconds=_RELEASE_SECONDS, env={"PATH": os.defpath}, inside={"stage": self._cover()})
        return done.exit_code

    async def signal(self, container_id: str, signal: int) -> None:
        if signal == _KILL and self._cgroups.usable:
            await asyncio.to_thread(self._cgroups.kill, container_id)
        await self._shim.signal(container_id, signal, session=signal == _KILL)

    async def exec(self, container_id: str, argv: Sequence[str], *, seconds: float) -> tuple[int, bytes]:
        log, process = await asyncio.to_thread(self._exec_files, container_id, argv, terminal=False)
        command = self._engine.exec(container_id, process, log=log)
        done = await self._shim.exec(command, seconds=seconds, env={"PATH": os.defpath}, inside={"stage": self._cover()})
        await asyncio.to_thread(process.unlink, missing_ok=True)
        if done.timed_out:
            return done.exit_code, f"command {' '.join(argv)!r} timed out after {seconds:g}s".encode()
        problem = await asyncio.to_thread(_take, log)
        return done.exit_code, (problem or done.output).encode()

    async def stream(self, container_id: str, argv: Sequence[str], stdio: Stdio) -> CommandEnd:
        log, process = await asyncio.to_thread(self._exec_files, container_id, argv, terminal=stdio.terminal)
        command = self._engine.exec(container_id, process, log=log)
        end = await self._shim.stream(
            command,
            stdio.handles,
            stdin=stdio.stdin is not None,
            terminal=stdio.terminal,
            env={"PATH": os.defpath},
            inside={"stage": self._cover()},
        )
        await asyncio.to_thread(process.unlink, missing_ok=True)
        problem = end.problem or await asyncio.to_thread(_take, log)
        return CommandEnd(exit_code=126 if problem and not end.problem else end.exit_code, problem=problem)

    def _exec_files(self, container_id: str, argv: Sequence[str], *, terminal: bool) -> tuple[Path, Path]:
        """Where a command's problems go, and what it is: the container's own process with other arguments. Blocking."""
        self._execs += 1
        folder = self._folder(container_id)
        log, process = folder / f"exec-{self._execs}", folder / f"exec-{self._execs}.json"
        own = json.loads((folder / "config.json").read_text())["process"]
        process.write_text(json.dumps(own | {"args": list(argv), "terminal": terminal}))
        return log, process

    async def input(self, container_id: str) -> int:
        return await self._shim.input(container_id)

    async def end_input(self, container_id: str) -> None:
        await self._shim.end_input(container_id)

    async def usage(self) -> Mapping[str, Used]:
        await self._shim.connect()
        roots = {p.pid: p.id for p in self._shim.processes().values() if p.alive and p.labels.get(RUNTIME) == self.name}
        return await asyncio.to_thread(measure, roots, self._shim.pid)

    async def resize(self, container_id: str, container: Mapping[str, Any]) -> None:
        if not self._cgroups.usable:
            raise FailedError("limits are not enforced here: this user can make no control groups")
        quota = cgroups.quota(container)
        await asyncio.to_thread((self._folder(container_id) / "quota").write_text, str(quota))
        await asyncio.to_thread(self._cgroups.resize, container_id, container)

    # End

    async def remove(self, container_id: str) -> None:
        process = self._shim.processes().get(container_id)
        if process is not None and not process.alive:
            await self._released(process)
        await self._shim.forget(container_id)
        self._releasing.pop(container_id, None)
        await asyncio.to_thread(rootfs.remove, self._folder(container_id))

    async def drop_pod(self, pod_uid: str) -> None:
        await self._sandboxes.remove(pod_uid)
        if not self._pods() and self._cgroups.usable:
            await asyncio.to_thread(self._cgroups.remove_empty)

    def _folder(self, container_id: str) -> Path:
        return self._settings.folder / container_id

    def _state(self, process: Process) -> ContainerState:
        state = state_of(process)
        reason = _read(self._folder(process.id) / "end") if not process.alive else ""
        return replace(state, reason=reason) if reason else state


_KILL = signal.SIGKILL


def _write_end(folder: Path, reason: str) -> None:
    """Everything is released: only this file is needed from now on."""
    for name in ("root", "changes"):
        rootfs.remove(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "end.new").write_text(reason)
    (folder / "end.new").replace(folder / "end")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _bounding() -> int:
    """The capabilities that this process may give at most, as the kernel writes them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:")), -1)


def _take(log: Path) -> str:
    """What the engine complained of, and no more of the file."""
    said = [line for line in _read(log).splitlines() if line.strip()]
    log.unlink(missing_ok=True)
    return said[-1] if said else ""
