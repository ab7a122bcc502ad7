"""What every pod worker of one node shares. Made by the agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lateen.aio.clock import Clock
from lateen.client.client import Client
from lateen.cluster.node import places
from lateen.cluster.node.admission import Refused
from lateen.cluster.node.seam import Gate, Images, PodNetwork, Runtime
from lateen.kube.meta import Object
from lateen.reconcile.events import Recorder


async def _takes(pod: Object) -> Refused | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """``folder`` is the node's own; ``refuses`` says why a new pod cannot be taken now, if so;
    ``others`` is what all other pods were given; ``unprivileged_start`` is 0 where every port can be bound (see kube.addresses).
    ``cluster_dns`` is where pods ask for names, '' without DNS; ``own_network``: pods do not see the machine's."""

    node: str
    folder: Path
    client: Client
    clock: Clock
    runtime: Runtime
    images: Images
    network: PodNetwork
    gate: Gate
    recorder: Recorder
    allocatable: Mapping[str, str]
    unprivileged_start: int = 0
    cluster_dns: str = ""
    own_network: bool = False
    refuses: Callable[[Object], Awaitable[Refused | None]] = _takes
    others: Callable[[Object], Mapping[str, Fraction]] = lambda pod: {"cpu": Fraction(0), "memory": Fraction(0)}

    def pod_folder(self, uid: str) -> Path:
        """Where everything of one pod lies: volumes, logs, changes to image files."""
        return self.folder / "pods" / uid

    def memory_folder(self, uid: str) -> Path:
        """What of one pod lies in memory."""
        return places.memory_volumes(self.folder) / uid

    def log_path(self, uid: str, container: str, attempt: int) -> Path:
        """The raw log of one attempt."""
        return self.pod_folder(uid) / "logs" / container / f"{attempt}.log"
