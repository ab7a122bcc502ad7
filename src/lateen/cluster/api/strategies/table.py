"""The strategies by storage collection."""

from __future__ import annotations

from lateen.cluster.api.registry import Served
from lateen.cluster.api.strategies import admission, apiservices, batch, certificates, core, definitions, services
from lateen.cluster.api.strategies.base import Strategy

_GENERATION = frozenset(
    f"{group}/{plural}"
    for group, plurals in {
        "core": ("pods", "replicationcontrollers", "podtemplates"),
        "apps": ("deployments", "replicasets", "statefulsets", "daemonsets"),
        "batch": ("jobs", "cronjobs"),
        "networking.k8s.io": ("ingresses", "networkpolicies", "ingressclasses"),
        "policy": ("poddisruptionbudgets",),
        "discovery.k8s.io": ("endpointslices",),
        "flowcontrol.apiserver.k8s.io": ("flowschemas", "prioritylevelconfigurations"),
        "admissionregistration.k8s.io": (
            "validatingwebhookconfigurations",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        ),
        "apiextensions.k8s.io": ("customresourcedefinitions",),
    }.items()
    for plural in plurals
)
_SPECIAL: dict[str, Strategy] = (
    admission.STRATEGIES
    | apiservices.STRATEGIES
    | batch.STRATEGIES
    | certificates.STRATEGIES
    | core.STRATEGIES
    | services.STRATEGIES
    | definitions.STRATEGIES
)
_made: dict[tuple[str, tuple[str, ...], bool], Strategy] = {}


def strategy_for(served: Served) -> Strategy:
    """The kind's strategy: its own, or the general one."""
    key = (served.collection, served.resource.subresources, served.custom)
    found = _made.get(key)
    if found is None:
        special = _SPECIAL.get(served.collection, Strategy())
        found = _made[key] = special.with_rules(
            status="status" in served.resource.subresources, generation=served.custom or served.collection in _GENERATION
        )
    return found
