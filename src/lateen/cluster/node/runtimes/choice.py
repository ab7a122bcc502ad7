"""Which runtime runs which container: what the node was told, the pod's RuntimeClass, then what pod and image need.

``auto`` runs images that lie on the host's own root as processes, which start fastest, and everything else as oci containers. Where
there is neither crun nor runc, only processes can be had, and a pod that needs more is told so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from lateen.cluster.node.runtimes.oci.runtime import OciRuntime
from lateen.cluster.node.runtimes.process import RUNTIME, ProcessRuntime
from lateen.cluster.node.seam import CommandEnd, ContainerSpec, ContainerState, Runtime, Stdio, Used
from lateen.errors import FailedError
from lateen.kube.meta import Object
from lateen.shim.client import ShimClient

AUTO, PROCESS, OCI = "auto", "process", "oci"
MODES = (AUTO, PROCESS, OCI)
_ENGINES = ("crun", "runc")  # handlers by which clusters elsewhere call the same
_INSTALL = "install crun (or runc)"


class ChosenRuntime:
    """``mode`` is one of MODES; ``oci`` is None where no engine is installed."""

    def __init__(self, mode: str, shim: ShimClient, process: ProcessRuntime, oci: OciRuntime | None) -> None:
        self._mode, self._shim, self._process, self._oci = mode, shim, process, oci
        self.name = PROCESS if oci is None else f"{PROCESS}-{OCI}" if mode == AUTO else mode

    def refuses(self, pod: Object) -> str:
        wanted = self._wanted(pod)
        if wanted not in MODES:
            return f'no runtime for "{wanted}" is configured'
        if wanted == OCI:
            return self._oci.refuses(pod) if self._oci is not None else f"there is no oci runtime on this node: {_INSTALL}"
        refused = self._process.refuses(pod)
        if wanted == PROCESS or not refused:
            return refused
        return self._oci.refuses(pod) if self._oci is not None else f"{refused}; the oci runtime could: {_INSTALL}"

    def lacks(self, pod: Object) -> str:
        if self._oci is None or self._wanted(pod) == PROCESS:
            return self._process.lacks(pod)
        return self._oci.lacks(pod)

    def _wanted(self, pod: Object) -> str:
        wanted = str((pod.get("spec") or {}).get("runtimeClassName") or self._mode)
        return OCI if wanted in _ENGINES else wanted

    def _runs_as_oci(self, pod: Object, *, whole: bool = False) -> bool:
        """``whole``: the image has a root file system of its own."""
        wanted = self._wanted(pod)
        return wanted == OCI or (wanted == AUTO and self._oci is not None and (whole or self._better_as_oci(pod)))

    def _better_as_oci(self, pod: Object) -> bool:
        """Whether the pod asks for what no process gets. Without privileges containers have one user only: more would be lost."""
        return bool(self._process.refuses(pod) or (os.geteuid() == 0 and self._process.lacks(pod)))

    async def start(self, spec: ContainerSpec) -> ContainerState:
        if self._oci is None or not self._runs_as_oci(spec.pod, whole=bool(spec.layers)):
            if spec.layers:
                raise FailedError(f"image {spec.image} has a root file system of its own: it needs the oci runtime")
            return await self._process.start(spec)
        if refused := self._oci.refuses(spec.pod):
            raise FailedError(refused)
        return await self._oci.start(spec)

    async def states(self) -> Mapping[str, ContainerState]:
        return {**await self._process.states(), **(await self._oci.states() if self._oci is not None else {})}

    def _of(self, container_id: str) -> Runtime:
        known = self._shim.processes().get(container_id)
        labels = known.labels if known is not None else {}
        return self._oci if self._oci is not None and labels.get(RUNTIME) == OCI else self._process

    async def wait(self, container_id: str) -> ContainerState:
        return await self._of(container_id).wait(container_id)

    async def signal(self, container_id: str, signal: int) -> None:
        await self._of(container_id).signal(container_id, signal)

    async def exec(self, container_id: str, argv: Sequence[str], *, seconds: float) -> tuple[int, bytes]:
        return await self._of(container_id).exec(container_id, argv, seconds=seconds)

    async def stream(self, container_id: str, argv: Sequence[str], stdio: Stdio) -> CommandEnd:
        return await self._of(container_id).stream(container_id, argv, stdio)

    async def input(self, container_id: str) -> int:
        return await self._of(container_id).input(container_id)

    async def end_input(self, container_id: str) -> None:
        await self._of(container_id).end_input(container_id)

    async def usage(self) -> Mapping[str, Used]:
        return {**await self._process.usage(), **(await self._oci.usage() if self._oci is not None else {})}

    async def resize(self, container_id: str, container: Mapping[str, Any]) -> None:
        await self._of(container_id).resize(container_id, container)

    async def remove(self, container_id: str) -> None:
        await self._of(container_id).remove(container_id)

    async def drop_pod(self, pod_uid: str) -> None:
        await self._process.drop_pod(pod_uid)
        if self._oci is not None:
            await self._oci.drop_pod(pod_uid)
