"""ReplicationControllers: what ReplicaSets were before, with a selector that is a plain map. See ``replicaset``."""

from __future__ import annotations

from lateen.cluster.controllers.kit import Kit
from lateen.cluster.controllers.replicaset import controller_of_kind
from lateen.kube.resources import REPLICATIONCONTROLLERS
from lateen.kube.selectors import from_map
from lateen.reconcile import Controller


def controller(kit: Kit) -> Controller:
    """The controller, fed by ReplicationControllers and their pods."""
    return controller_of_kind(kit.named("replication-controller"), REPLICATIONCONTROLLERS, from_map)
