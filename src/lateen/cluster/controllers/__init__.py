"""The controllers of the embedded cluster, one per file. Each has ``controller(kit) -> Controller``; ``build`` collects them.

They are clients of the API like any other: they read through shared informers and write through the client.
"""

from __future__ import annotations

from collections.abc import Sequence

from lateen.cluster.controllers import (
    certificates,
    clusterrole,
    cronjob,
    daemonset,
    deployment,
    endpoints,
    endpointslice,
    ephemeral,
    eventexpiry,
    garbage,
    hpa,
    job,
    mirror,
    namespace,
    node,
    poddisruption,
    podgc,
    protection,
    quota,
    replicaset,
    replicationcontroller,
    rootca,
    serviceaccount,
    statefulset,
    volumes,
)
from lateen.cluster.controllers.kit import Kit
from lateen.reconcile import Controller

_ALL = (
    namespace,
    serviceaccount,
    statefulset,
    rootca,
    certificates,
    clusterrole,
    cronjob,
    daemonset,
    deployment,
    replicaset,
    replicationcontroller,
    endpointslice,
    endpoints,
    mirror,
    poddisruption,
    volumes,
    ephemeral,
    protection,
    quota,
    garbage,
    hpa,
    job,
    node,
    podgc,
    eventexpiry,
)


def build(kit: Kit) -> Sequence[Controller]:
    """Every controller, ready for a Manager. The kit's informers are started by the caller."""
    kit = kit.reading_own_writes()
    return [module.controller(kit) for module in _ALL]
