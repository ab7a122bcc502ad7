"""From the API server to a pod's container: finds the agent of the pod's node and hands over. Filled in by ``boot``.

Implements ``api.streaming.seam.Nodes`` with the agents of this machine; the API server and the node agent do not know each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from lateen.cluster.api.streaming.seam import Connection, NodeUsage, Opener, StreamOptions, unreachable
from lateen.cluster.api.subresources.log import PodLogOptions, no_logs
from lateen.cluster.node.agent import NodeAgent
from lateen.cluster.node.seam import LogOptions
from lateen.cluster.node.streams import Wanted
from lateen.errors import ServerError
from lateen.kube.meta import Object


class Reach:
    """``agent_of`` gives the agent of a running node by its name."""

    def __init__(self, agent_of: Callable[[str], NodeAgent | None]) -> None:
        self._agent_of = agent_of

    def logs(self, pod: Object, options: PodLogOptions) -> AsyncIterator[bytes]:
        """The log of a pod: what ``pods/log`` reads."""
        agent = self._agent_of((pod.get("spec") or {}).get("nodeName") or "")
        if agent is None:
            return no_logs(pod, options)
        return agent.logs.read(pod, LogOptions(**{n: getattr(options, n) for n in PodLogOptions.__slots__}))

    def exec(self, pod: Object, argv: Sequence[str], options: StreamOptions) -> Opener:
        return self._agent(pod).exec(pod, options.container, argv, _wanted(options))

    def attach(self, pod: Object, options: StreamOptions) -> Opener:
        return self._agent(pod).attach(pod, options.container, _wanted(options))

    async def dial(self, pod: Object, port: int) -> Connection:
        return await self._agent(pod).dial(pod, port)

    async def usage(self, node: str) -> NodeUsage | None:
        agent = self._agent_of(node)
        return await agent.usage() if agent is not None else None

    async def page(self, node: str, path: str) -> tuple[str, bytes] | None:
        agent = self._agent_of(node)
        if agent is None:
            raise ServerError(f"Internal error occurred: no node agent serves node {node!r}")
        return await agent.page(path)

    def _agent(self, pod: Object) -> NodeAgent:
        agent = self._agent_of((pod.get("spec") or {}).get("nodeName") or "")
        if agent is None:
            raise unreachable(pod)
        return agent


def _wanted(options: StreamOptions) -> Wanted:
    return Wanted(stdin=options.stdin, stdout=options.stdout, stderr=options.stderr, tty=options.tty)
