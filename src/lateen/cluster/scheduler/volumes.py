"""What a pod's claims mean for its place: volumes that are tied to nodes, and volumes that wait for the place. Pure.

A claim whose class binds on first use is provisioned where its pod goes: ``loop`` writes ``volume.kubernetes.io/selected-node`` and
waits for the binding. Choosing among existing volumes for an unbound claim is the volume controller's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lateen.cluster.scheduler.demand import Demand
from lateen.cluster.scheduler.state import Cluster
from lateen.kube.meta import Object, annotations_of, meta
from lateen.kube.nodeterms import Json, requirement_holds

SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeNeeds:
    """``problem`` refuses every node. ``affinities`` come from bound volumes; ``unbound`` are the claims to provision."""

    problem: str = ""
    affinities: tuple[Json, ...] = ()
    unbound: tuple[str, ...] = ()
    selected: frozenset[str] = frozenset()
    topologies: tuple[Json, ...] = ()

    def allows(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether the unbound claims can be provisioned at the node."""
        if self.selected - {name}:
            return False
        return all(_topology_holds(t, labels) for t in self.topologies)


NONE = VolumeNeeds()


def volume_needs(demand: Demand, cluster: Cluster) -> VolumeNeeds:
    """The needs of the pod's claims as they stand."""
    if not demand.claims:
        return NONE
    affinities, unbound, selected, topologies = [], [], set(), []
    for name in demand.claims:
        claim = cluster.claims.get((demand.namespace, name))
        if claim is None:
            return VolumeNeeds(problem=f'persistentvolumeclaim "{name}" not found')
        if "deletionTimestamp" in meta(claim):
            return VolumeNeeds(problem=f'persistentvolumeclaim "{name}" is being deleted')
        if volume_name := claim["spec"].get("volumeName"):
            volume = cluster.volumes.get(volume_name)
            if volume is None:
                return VolumeNeeds(problem=f'persistentvolume "{volume_name}" not found')
            affinities += [a for a in [((volume["spec"].get("nodeAffinity") or {}).get("required"))] if a]
            continue
        storage_class = cluster.storage_classes.get(claim["spec"].get("storageClassName") or "")
        if not _waits(storage_class):
            return VolumeNeeds(problem="pod has unbound immediate PersistentVolumeClaims")
        unbound.append(name)
        selected |= {node for node in [annotations_of(claim).get(SELECTED_NODE)] if node}
        topologies += [{"any": t} for t in [(storage_class or {}).get("allowedTopologies")] if t]
    return VolumeNeeds(
        affinities=tuple(affinities), unbound=tuple(unbound), selected=frozenset(selected), topologies=tuple(topologies)
    )


def _waits(storage_class: Object | None) -> bool:
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def _topology_holds(alternatives: Json, labels: Mapping[str, str]) -> bool:
    return any(
        all(requirement_holds({**e, "operator": "In"}, labels) for e in term.get("matchLabelExpressions") or ())
        for term in alternatives["any"]
    )
