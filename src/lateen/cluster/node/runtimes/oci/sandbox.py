"""The namespaces that the containers of one pod share (IPC, host name, processes), held by a sleeping process of the shim's.

Used by ``runtime``. A pod of one container needs none: its namespaces are the container's own.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from lateen.cluster.node.identity import kernel_name
from lateen.errors import FailedError
from lateen.kube.meta import Object, uid_of
from lateen.shim.client import ShimClient, Spawn

_LABEL = "sandbox"
_KINDS = ("ipc", "uts")


class Sandboxes:
    """Sandboxes by pod. ``folder`` is theirs; ``memory`` is theirs in memory."""

    def __init__(self, shim: ShimClient, folder: Path, memory: Path) -> None:
        self._shim, self._folder, self._memory = shim, folder, memory
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def wanted(self, pod: Object) -> bool:
        """Whether containers of the pod share namespaces."""
        spec = pod.get("spec") or {}
        several = sum(len(spec.get(kind) or ()) for kind in ("containers", "initContainers", "ephemeralContainers")) > 1
        return several or bool(spec.get("shareProcessNamespace"))

    async def ensure(self, pod: Object, hosts: Collection[str]) -> dict[str, str]:
        """The namespaces' paths by kind, without those that are the host's."""
        uid, spec = uid_of(pod), pod.get("spec") or {}
        kinds = [k for k in (*_KINDS, *(("pid",) if spec.get("shareProcessNamespace") else ())) if k not in hosts]
        if not kinds:
            return {}
        async with self._locks[uid]:
            name = f"{uid}_.sandbox"
            process = self._shim.processes().get(name)
            if process is not None and not process.alive:
                await self._shim.forget(name)
                process = None
            if process is None:
                process = await self._shim.spawn(await asyncio.to_thread(self._spawn, name, pod, kinds))
            if not process.alive:
                await self._shim.forget(name)
                raise FailedError(f"failed to create pod sandbox: {process.message}")
        return {kind: f"/proc/{process.pid}/ns/{kind}" for kind in kinds}

    def _spawn(self, name: str, pod: Object, kinds: list[str]) -> Spawn:
        uid = uid_of(pod)
        self._folder.mkdir(parents=True, exist_ok=True)
        memory = self.shared_memory(uid)
        memory.mkdir(mode=0o755, parents=True, exist_ok=True)
        memory.chmod(0o1777)
        pid_file = self._folder / f"{uid}.pid"
        pid_file.unlink(missing_ok=True)
        return Spawn(
            id=name,
            argv=["sleep", "infinity"],
            env={"PATH": "/usr/bin:/bin"},
            log=Path("/dev/null"),
            pid_file=pid_file if "pid" in kinds else None,
            sandbox={"kinds": kinds, "hostname": kernel_name(pod)},
            labels={_LABEL: uid},
        )

    def shared_memory(self, uid: str) -> Path:
        """Where /dev/shm of the pod lies: in memory, as it must."""
        return self._memory / uid

    async def drop_unused(self, pods: Collection[str]) -> None:
        """End the sandboxes of all pods but ``pods``."""
        for process in list(self._shim.processes().values()):
            if (uid := process.labels.get(_LABEL)) and uid not in pods:
                await self.remove(uid)

    async def remove(self, uid: str) -> None:
        """End the sandbox of a pod whose containers have gone."""
        async with self._locks[uid]:
            name = f"{uid}_.sandbox"
            process = self._shim.processes().get(name)
            if process is not None:
                await self._shim.signal(name, signal.SIGKILL)
                await self._shim.wait(name)
                await self._shim.forget(name)
            await asyncio.to_thread(self._clean, uid)
        self._locks.pop(uid, None)

    def _clean(self, uid: str) -> None:
        shutil.rmtree(self.shared_memory(uid), ignore_errors=True)
        (self._folder / f"{uid}.pid").unlink(missing_ok=True)
