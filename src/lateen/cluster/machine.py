"""The real nodes of one machine, each with its own process owner: started, stopped and started again while the cluster runs.

Used by ``boot``. A node is stopped by the annotation ``lateen.dev/stopped: "true"`` on its Node object: its pods and its shim
end at once and nobody reports, as when a machine loses power; the node lifecycle controller notices by the lease.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from lateen.aio.tasks import TaskOwner, gather
from lateen.client.informer import InformerSet
from lateen.cluster.node.agent import NodeAgent
from lateen.errors import LateenError
from lateen.kube.meta import Object, annotations_of, key_of
from lateen.kube.resources import NODES
from lateen.shim.client import ShimClient

log = logging.getLogger(__name__)
STOPPED = "lateen.dev/stopped"


class Machine:
    """``make`` gives the shim and the agent of a node by its name."""

    def __init__(self, names: Sequence[str], make: Callable[[str], tuple[ShimClient, NodeAgent]]) -> None:
        self._names, self._make = names, make
        self._running: dict[str, tuple[ShimClient, NodeAgent, TaskOwner]] = {}
        self._changes = TaskOwner("machine")
        self._changing: dict[str, bool] = {}

    def agent(self, name: str) -> NodeAgent | None:
        """The agent of a running node."""
        found = self._running.get(name)
        return found[1] if found else None

    async def start(self, informers: InformerSet) -> None:
        """Start every node that is not stopped by its annotation; returns when they are ready. Then follows the annotations."""
        nodes = informers.informer(NODES)
        await nodes.synced()
        stopped = {key_of(n).name for n in nodes.list() if _stopped(n)}
        await gather([self._start(name) for name in self._names if name not in stopped])
        nodes.subscribe(self._changed)

    def _changed(self, _old: Object | None, new: Object | None) -> None:
        if new is None or (name := key_of(new).name) not in self._names:
            return
        wanted = not _stopped(new)
        if wanted != self._changing.get(name, name in self._running):
            self._changing[name] = wanted
            self._changes.start(self._change(name), f"node {name}")

    async def _change(self, name: str) -> None:
        while (wanted := self._changing.get(name)) is not None and wanted != (name in self._running):
            try:
                await (self._start(name) if wanted else self._stop(name, seconds=0.0))
            except LateenError:
                log.exception("node %s could not be %s", name, "started" if wanted else "stopped")
                break
        self._changing.pop(name, None)

    async def _start(self, name: str) -> None:
        shim, agent = self._make(name)
        await shim.connect()
        owner = TaskOwner(f"node {name}")
        self._running[name] = (shim, agent, owner)
        owner.start(agent.run(), "agent")
        await agent.ready.wait()

    async def _stop(self, name: str, *, seconds: float) -> None:
        shim, agent, owner = self._running.pop(name)
        agent.retire()
        await owner.close()
        await shim.stop(seconds=seconds)

    async def detach(self) -> None:
        """Let every node's processes go on without us."""
        await self._changes.close()
        for shim, agent, owner in self._running.values():
            agent.retire()
            await owner.close()
            await shim.close()

    async def retire(self) -> None:
        """End the agents: nobody acts on pods any more."""
        await self._changes.close()
        for _, agent, owner in self._running.values():
            agent.retire()
            await owner.close()

    async def stop(self, seconds: float) -> None:
        """End every node: pods get SIGTERM, then SIGKILL after ``seconds``."""
        await gather([shim.stop(seconds=seconds) for shim, _, _ in self._running.values()])


def _stopped(node: Object) -> bool:
    return annotations_of(node).get(STOPPED) == "true"
