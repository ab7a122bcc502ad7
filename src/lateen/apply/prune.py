"""What may be deleted of what an application no longer declares. Pure decisions first, then deletes, the dependents first.

Only what carries the application's label is touched. Data stays unless everything is asked for, and so does configuration that an
older version could be rolled back to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lateen.apply.refs import APP_LABEL, Ref
from lateen.kube.meta import Object, labels_of

RETAIN_LABEL = "lateen.dev/retain"
_HOLDS_DATA = ("PersistentVolumeClaim", "Namespace", "CustomResourceDefinition")


class Prune(StrEnum):
    """How much may be deleted: nothing; what holds no data; everything."""

    none = "none"
    safe = "safe"
    all = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``delete`` from inventory and cluster; ``keep`` in both; ``forget`` in the inventory: it is gone or somebody else's."""

    delete: tuple[Ref, ...] = ()
    keep: tuple[Ref, ...] = ()
    forget: tuple[Ref, ...] = ()


def judge(live: Mapping[Ref, Object | None], *, app: str, prune: Prune, replica_sets: Sequence[Object]) -> Verdict:
    """What to do with objects that are no longer declared."""
    delete, keep, forget = [], [], []
    used = referred_to(replica_sets) if prune is Prune.safe else set()
    for ref, obj in live.items():
        if obj is None or labels_of(obj).get(APP_LABEL) != app:
            forget.append(ref)
        elif prune is Prune.none or (
            prune is Prune.safe and (_holds_data(ref, obj) or (ref.namespace, ref.kind, ref.name) in used)
        ):
            keep.append(ref)
        else:
            delete.append(ref)
    return Verdict(delete=tuple(delete), keep=tuple(keep), forget=tuple(forget))


def _holds_data(ref: Ref, obj: Object) -> bool:
    return ref.kind in _HOLDS_DATA and labels_of(obj).get(RETAIN_LABEL) != "false"


def referred_to(replica_sets: Iterable[Object]) -> set[tuple[str, str, str]]:
    """(namespace, kind, name) of every ConfigMap and Secret that a version in the rollout history mounts or reads."""
    found: set[tuple[str, str, str]] = set()
    for replica_set in replica_sets:
        namespace = (replica_set.get("metadata") or {}).get("namespace", "")
        pod = ((replica_set.get("spec") or {}).get("template") or {}).get("spec") or {}
        found |= {(namespace, kind, name) for kind, name in _of_pod(pod)}
    return found


def _of_pod(pod: Object) -> Iterable[tuple[str, str]]:
    for volume in pod.get("volumes") or ():
        yield "ConfigMap", (volume.get("configMap") or {}).get("name", "")
        yield "Secret", (volume.get("secret") or {}).get("secretName", "")
    for container in [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]:
        for entry in container.get("env") or ():
            source = entry.get("valueFrom") or {}
            yield "ConfigMap", (source.get("configMapKeyRef") or {}).get("name", "")
            yield "Secret", (source.get("secretKeyRef") or {}).get("name", "")
        for entry in container.get("envFrom") or ():
            yield "ConfigMap", (entry.get("configMapRef") or {}).get("name", "")
            yield "Secret", (entry.get("secretRef") or {}).get("name", "")
