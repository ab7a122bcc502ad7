"""In which order objects are applied: stages by kind, and dependencies that objects declare. Pure. Pruning goes backwards.

A stage starts when the one before has been applied. Within a stage everything goes at once, except that an object with
``config.kubernetes.io/depends-on`` waits until the objects it names are healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lateen.apply.refs import Ref
from lateen.errors import InputError
from lateen.kube.meta import Object, annotations_of

DEPENDS_ON = "config.kubernetes.io/depends-on"

# What other objects live in or are instances of; classes and limits; what pods mount, run as, and find by name (a pod's service
# variables are those of the services that were there before it).
_CLASSES = "ClusterRole PriorityClass RuntimeClass StorageClass VolumeSnapshotClass IngressClass GatewayClass"
_LIMITS = "ResourceQuota LimitRange NetworkPolicy"
_MOUNTED = "ServiceAccount Role ClusterRoleBinding RoleBinding ConfigMap Secret PersistentVolume PersistentVolumeClaim"
_FOUND = "Service PodDisruptionBudget ReferenceGrant"
_STAGES = ("CustomResourceDefinition Namespace", f"{_CLASSES} {_LIMITS}", f"{_MOUNTED} {_FOUND}")
_CUSTOM, _WORKLOADS, _LAST = len(_STAGES), len(_STAGES) + 1, len(_STAGES) + 2
WORKLOADS = ("DaemonSet", "Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "Job", "CronJob")
_LAST_KINDS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService")
_BY_KIND = {kind: number for number, kinds in enumerate(_STAGES) for kind in kinds.split()}
_BY_KIND |= dict.fromkeys(WORKLOADS, _WORKLOADS) | dict.fromkeys(_LAST_KINDS, _LAST)
KINDS = tuple(_BY_KIND)
# Routes lead to what runs; they may come with it. An admission webhook must not judge the objects that run it.
_BUILTIN = ("", "apps", "batch", "policy", "autoscaling", "networking.k8s.io", "gateway.networking.k8s.io")


def stage_of(ref: Ref) -> int:
    """The stage of an object; custom kinds come before workloads, other built-in ones with them."""
    default = _WORKLOADS if ref.group in _BUILTIN else _CUSTOM
    return _BY_KIND.get(ref.kind, default)


def stages(refs: Iterable[Ref]) -> list[list[Ref]]:
    """The references by stage, without empty ones."""
    grouped: dict[int, list[Ref]] = {}
    for ref in refs:
        grouped.setdefault(stage_of(ref), []).append(ref)
    return [grouped[number] for number in sorted(grouped)]


def defines(crd: Object) -> tuple[tuple[str, str], bool]:
    """Group and kind of what a CustomResourceDefinition defines, and whether it is namespaced."""
    spec = crd.get("spec") or {}
    return (spec.get("group", ""), (spec.get("names") or {}).get("kind", "")), spec.get("scope") != "Cluster"


def dependencies(objects: Mapping[Ref, Object]) -> dict[Ref, list[Ref]]:
    """Which of the objects each one waits for. InputError for a reference that cannot be read, and for a cycle."""
    found = {ref: [d for d in _declared(ref, obj) if d in objects] for ref, obj in objects.items()}
    done: set[Ref] = set()
    for ref in found:
        _refuse_cycle(ref, found, [], done)
    return {ref: needs for ref, needs in found.items() if needs}


def _declared(ref: Ref, obj: Object) -> list[Ref]:
    text = annotations_of(obj).get(DEPENDS_ON) or ""
    return [_parse(part.strip(), ref) for part in text.split(",") if part.strip()]


def _parse(text: str, ref: Ref) -> Ref:
    match text.split("/"):
        case [group, "namespaces", namespace, kind, name]:
            return Ref(group, kind, namespace, name)
        case [group, kind, name]:
            return Ref(group, kind, "", name)
    hint = "write GROUP/namespaces/NAMESPACE/KIND/NAME, or GROUP/KIND/NAME for a cluster-scoped object"
    raise InputError(f"{ref}: {DEPENDS_ON} cannot read {text!r}", hint=hint)


def _refuse_cycle(ref: Ref, needs: Mapping[Ref, list[Ref]], path: list[Ref], done: set[Ref]) -> None:
    if ref in path:
        cycle = " -> ".join(str(r) for r in [*path[path.index(ref) :], ref])
        raise InputError(f"objects wait for each other: {cycle}", hint=f"change {DEPENDS_ON} of one of them")
    if ref in done:
        return
    done.add(ref)
    for needed in needs.get(ref, ()):
        _refuse_cycle(needed, needs, [*path, ref], done)
