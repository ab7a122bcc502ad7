"""Whether a node takes a pod that is bound to it: a kubelet's own look, for pods that came past the scheduler. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from lateen.cluster.node.sysctls import forbidden_sysctl
from lateen.kube.meta import Object, labels_of, meta
from lateen.kube.nodeterms import node_selector_holds
from lateen.kube.quantity import parse

AFFINITY = "NodeAffinity"


class Refused(NamedTuple):
    """Why not: the pod's reason and message."""

    reason: str
    message: str


def unfit(pod: Object, allowed_sysctls: Sequence[str]) -> Refused | None:
    """What no node of this kind takes."""
    if ((pod.get("spec") or {}).get("os") or {}).get("name") not in (None, "linux"):
        return Refused("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if name := forbidden_sysctl(pod, allowed_sysctls):
        return Refused("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
    return None


def unchosen(pod: Object, node: Object) -> Refused | None:
    """Whether the pod asks for another node. A node that is not registered yet has nothing against it."""
    spec, labels = pod.get("spec") or {}, labels_of(node)
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    selected = all(labels.get(k) == v for k, v in (spec.get("nodeSelector") or {}).items())
    if not node or (selected and node_selector_holds(required, str(meta(node).get("name") or ""), labels)):
        return None
    return Refused(AFFINITY, "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")


def unroomy(
    pod: Object, others: Sequence[Object], *, wanted: Mapping[str, Fraction], given: Mapping[str, Fraction], room: Mapping[str, str]
) -> Refused | None:
    """Whether the pod finds no place beside the pods ``others``. ``wanted`` is what it requests, ``given`` what they have, in all;
    ``room`` is the node's allocatable."""
    wanted, given = {"pods": Fraction(1), **wanted}, {"pods": Fraction(len(others)), **given}
    for resource, amount in wanted.items():
        used, capacity = given.get(resource, Fraction(0)), parse(room.get(resource, "0"))
        if amount and used + amount > capacity:
            unit = 1000 if resource == "cpu" else 1
            numbers = f"requested: {int(amount * unit)}, used: {int(used * unit)}, capacity: {int(capacity * unit)}"
            return Refused(f"OutOf{resource}", f"Node didn't have enough resource: {resource}, {numbers}")
    if any(_clash(a, b) for a in _host_ports([pod]) for b in _host_ports(others)):
        message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        return Refused("NodePorts", message)
    return None


_Port = tuple[str, str, int]
_ANY = "0.0.0.0"  # noqa: S104 - compared, not bound


def _host_ports(pods: Iterable[Object]) -> list[_Port]:
    ports: list[Mapping[str, Any]] = [
        port for pod in pods for c in (pod.get("spec") or {}).get("containers") or () for port in c.get("ports") or ()
    ]
    return [(p.get("hostIP") or _ANY, p.get("protocol") or "TCP", p["hostPort"]) for p in ports if p.get("hostPort")]


def _clash(a: _Port, b: _Port) -> bool:
    return a[1:] == b[1:] and (a[0] == b[0] or _ANY in (a[0], b[0]))
