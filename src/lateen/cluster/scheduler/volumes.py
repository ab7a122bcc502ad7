"""What a pod's claims mean for its place: volumes that are tied to nodes, and claims that wait for the place. Pure.

A claim whose class binds on first use gets a volume that exists and can be used on the chosen node, else a new one is provisioned
there: ``loop`` writes the volume's ``claimRef`` or the claim's ``volume.kubernetes.io/selected-node`` and waits for the binding,
which the volume controller completes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from lateen.cluster.scheduler.demand import Demand
from lateen.cluster.scheduler.state import Cluster
from lateen.kube.claims import SELECTED_NODE, fits, names, waits
from lateen.kube.meta import Object, annotations_of, controller_of, key_of, meta
from lateen.kube.nodeterms import Json, node_selector_holds, requirement_holds
from lateen.kube.quantity import parse

_NO_PROVISIONER = ("", "kubernetes.io/no-provisioner")


@dataclass(frozen=True, slots=True)
class Binding:
    """How a pod's waiting claims are served on one node: ``matched`` (claim, volume) and ``provisioned`` claims."""

    matched: tuple[tuple[str, str], ...] = ()
    provisioned: tuple[str, ...] = ()


NOTHING = Binding()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A claim that waits for its pod's node. ``volumes`` it could have, the best first."""

    name: str
    selected: str  # the node that was chosen before
    volumes: tuple[Object, ...]
    provisions: bool
    topologies: tuple[Json, ...]

    def found(self, name: str, labels: Mapping[str, str], taken: Iterable[str]) -> str:
        """The volume for it on the node, or ''."""
        if self.selected:
            return ""
        for volume in self.volumes:
            if (found := meta(volume)["name"]) not in taken and node_selector_holds(_affinity(volume), name, labels):
                return str(found)
        return ""

    def provisionable(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a volume can be made for it on the node."""
        if not self.provisions or (self.selected and self.selected != name):
            return False
        return not self.topologies or any(_topology_holds(t, labels) for t in self.topologies)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeNeeds:
    """``problem`` refuses every node. ``affinities`` come from bound volumes; ``waiting`` are the claims without one; ``exclusive``
    those that one pod at a time may use."""

    problem: str = ""
    affinities: tuple[Json, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    exclusive: tuple[str, ...] = ()

    def at(self, name: str, labels: Mapping[str, str]) -> Binding | None:
        """How the waiting claims are served on the node; None if they cannot be."""
        matched: dict[str, str] = {}  # volume -> claim
        provisioned = []
        for claim in self.waiting:
            if volume := claim.found(name, labels, matched):
                matched[volume] = claim.name
            elif claim.provisionable(name, labels):
                provisioned.append(claim.name)
            else:
                return None
        return Binding(tuple([(claim, volume) for volume, claim in matched.items()]), tuple(provisioned))


NONE = VolumeNeeds()


def volume_needs(demand: Demand, cluster: Cluster) -> VolumeNeeds:
    """The needs of the pod's claims as they stand."""
    if not demand.claims:
        return NONE
    affinities, waiting, exclusive = [], [], []
    for name in demand.claims:
        claim = cluster.claims.get((demand.namespace, name))
        if claim is None or (problem := _problem(demand, claim)):
            return VolumeNeeds(problem=_missing(demand, name) if claim is None else problem)
        if "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ()):
            exclusive.append(name)
        if volume_name := claim["spec"].get("volumeName"):
            volume = cluster.volumes.get(volume_name)
            if volume is None:
                return VolumeNeeds(problem=f'persistentvolume "{volume_name}" not found')
            affinities += [a for a in [_affinity(volume)] if a]
            continue
        storage_class = cluster.storage_classes.get(claim["spec"].get("storageClassName") or "")
        if storage_class is None or not waits(storage_class):
            return VolumeNeeds(problem="pod has unbound immediate PersistentVolumeClaims")
        waiting.append(claim)
    waiting.sort(key=_size)  # the smallest first, so that it does not take what only a larger one needs
    return VolumeNeeds(
        affinities=tuple(affinities), waiting=tuple([_waiting(c, cluster) for c in waiting]), exclusive=tuple(exclusive)
    )


def _missing(demand: Demand, name: str) -> str:
    if name in demand.own_claims:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    return f'persistentvolumeclaim "{name}" not found'


def _problem(demand: Demand, claim: Object) -> str:
    """Why the claim cannot be used, or ''."""
    name = meta(claim)["name"]
    if (claim.get("status") or {}).get("phase") == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim["spec"].get("volumeName", "")}"'
    if "deletionTimestamp" in meta(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    owner = controller_of(claim)
    if name in demand.own_claims and (owner is None or owner["uid"] != demand.own_claims[name]):
        return f"PVC {key_of(claim)} was not created for this pod (pod is not owner)"
    return ""


def _waiting(claim: Object, cluster: Cluster) -> Waiting:
    storage_class = cluster.storage_classes[claim["spec"]["storageClassName"]]
    return Waiting(
        name=meta(claim)["name"],
        selected=annotations_of(claim).get(SELECTED_NODE, ""),
        volumes=tuple(_candidates(claim, cluster)),
        provisions=storage_class.get("provisioner", "") not in _NO_PROVISIONER,
        topologies=tuple(storage_class.get("allowedTopologies") or ()),
    )


def _candidates(claim: Object, cluster: Cluster) -> list[Object]:
    """The volume that is kept for the claim, else every free one that fits, the smallest first."""
    key, reserved = key_of(claim), cluster.reserved
    mine = [v for n, v in cluster.volumes.items() if names(v, claim) or reserved.get(n) == key]
    if mine:
        return mine[:1]
    free = [v for n, v in cluster.volumes.items() if n not in reserved and _free(v) and fits(claim, v)]
    return sorted(free, key=lambda v: parse(v["spec"]["capacity"]["storage"]))


def _free(volume: Object) -> bool:
    return not volume["spec"].get("claimRef") and (volume.get("status") or {}).get("phase") == "Available"


def _size(claim: Object) -> Fraction:
    return parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))


def _affinity(volume: Object) -> Json | None:
    found: Json | None = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return found


def _topology_holds(term: Json, labels: Mapping[str, str]) -> bool:
    return all(requirement_holds({**e, "operator": "In"}, labels) for e in term.get("matchLabelExpressions") or ())
