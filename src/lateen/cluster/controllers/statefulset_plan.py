"""What a StatefulSet should do next. Pure: the set, its revisions and its pods in; steps and a status out.

The algorithm is that of kube-controller-manager (stateful_set_control.go, stateful_set_utils.go): replicas in order of their
ordinals, then what is beyond them from the highest down, then the update from the highest down.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from lateen.cluster.controllers.kit import pod_available, pod_ready, spec_of, status_of
from lateen.cluster.controllers.revisions import LABEL, revision_label, with_template
from lateen.kube.intstr import scaled
from lateen.kube.meta import Object, edit, key_of, labels_of, meta, owner_reference, uid_of

POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
_NUMBERED = re.compile(r"(.+)-([0-9]+)")


class Verb(StrEnum):
    """What to do to a pod."""

    create = "create"
    delete = "delete"
    repair = "repair"  # its identity or its volumes are not what the set gives it


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. ``pod`` is the pod to make, or the one that is there."""

    verb: Verb
    pod: Object


@dataclass(slots=True, kw_only=True)
class View:
    """The set and all that belongs to it. ``current`` and ``update`` are revisions, the same one when no update is under way."""

    set: Object
    pods: Sequence[Object]
    current: Object
    update: Object
    now: datetime
    replicas: dict[int, Object] = field(default_factory=dict)  # by ordinal: pods that should be there
    condemned: list[Object] = field(default_factory=list)  # the others, highest ordinal first

    def __post_init__(self) -> None:
        wanted = set(ordinals(self.set))
        for pod in self.pods:
            number = ordinal(pod)
            if number in wanted:
                self.replicas[number] = pod
            else:
                self.condemned.append(pod)
        self.condemned.sort(key=ordinal, reverse=True)

    @property
    def min_ready(self) -> float:
        return float(spec_of(self.set).get("minReadySeconds") or 0)

    def healthy(self, pod: Object | None) -> bool:
        """Running, ready, and for long enough; not on its way out."""
        return pod is not None and not terminating(pod) and running(pod) and pod_available(pod, self.min_ready, self.now)


def ordinals(stateful_set: Object) -> range:
    """The ordinals that should be there."""
    spec = spec_of(stateful_set)
    start = int((spec.get("ordinals") or {}).get("start") or 0)
    return range(start, start + int(spec.get("replicas", 1)))


def ordinal(pod: Object) -> int:
    """The number in a pod's name; -1 if it has none."""
    found = _NUMBERED.fullmatch(meta(pod)["name"])
    return int(found[2]) if found else -1


def belongs(stateful_set: Object, pod: Object) -> bool:
    """Whether a pod has a name of this set."""
    found = _NUMBERED.fullmatch(meta(pod)["name"])
    return found is not None and found[1] == meta(stateful_set)["name"]


def terminating(pod: Object) -> bool:
    """Whether it is on its way out."""
    return bool(meta(pod).get("deletionTimestamp"))


def running(pod: Object) -> bool:
    """Running and Ready."""
    return status_of(pod).get("phase") == "Running" and pod_ready(pod)


def steps(view: View) -> list[Step]:
    """What to do now; what follows from it is for the next look."""
    found, settled = _replicas(view)
    if not settled:
        return found
    found, settled = _condemned(view, found)
    if settled and (spec_of(view.set).get("updateStrategy") or {}).get("type") != "OnDelete":
        found += [Step(Verb.delete, pod) for pod in outdated(view)]
    return found


def _in_order(view: View) -> bool:
    return spec_of(view.set).get("podManagementPolicy") != "Parallel"


def _replicas(view: View) -> tuple[list[Step], bool]:
    """The steps for the pods that should be there, and whether to look further."""
    found: list[Step] = []
    for number in ordinals(view.set):
        pod = view.replicas.get(number)
        step = _replica(view, number, pod)
        if step is not None:
            found.append(step)
        if _in_order(view) and (pod is None or (step is not None and step.verb is Verb.delete) or not view.healthy(pod)):
            return found, False
    return found, all(step.verb is Verb.repair for step in found)


def _replica(view: View, number: int, pod: Object | None) -> Step | None:
    if pod is None:
        return Step(Verb.create, versioned_pod(view, number))
    if terminating(pod):
        return None
    if status_of(pod).get("phase") in ("Failed", "Succeeded"):
        return Step(Verb.delete, pod)
    return Step(Verb.repair, pod) if not _identified(view.set, pod) else None


def _identified(stateful_set: Object, pod: Object) -> bool:
    name, labels = meta(pod)["name"], labels_of(pod)
    claims = {v["name"]: v["persistentVolumeClaim"].get("claimName") for v in _claim_volumes(pod)}
    wanted = {t: claim_name(t, name) for t in templates(stateful_set)}
    return labels.get(POD_NAME) == name and wanted.items() <= claims.items()


def _claim_volumes(pod: Object) -> Iterable[Mapping[str, Any]]:
    return (v for v in spec_of(pod).get("volumes") or () if v.get("persistentVolumeClaim"))


def _condemned(view: View, found: list[Step]) -> tuple[list[Step], bool]:
    """What is beyond goes from the highest ordinal down; in order, one at a time, and only while all others are well."""
    first_ill = next((p for p in [*view.replicas.values(), *reversed(view.condemned)] if not view.healthy(p)), None)
    for pod in view.condemned:
        if _in_order(view):
            if terminating(pod) or (not view.healthy(pod) and first_ill is not pod):
                return found, False
            return [*found, Step(Verb.delete, pod)], False
        if not terminating(pod):
            found = [*found, Step(Verb.delete, pod)]
    return found, True


def outdated(view: View) -> list[Object]:
    """The pods to delete for the update: from the highest ordinal down to the partition, so many that no more than maxUnavailable
    are not available."""
    rolling = (spec_of(view.set).get("updateStrategy") or {}).get("rollingUpdate") or {}
    most = max(1, scaled(rolling.get("maxUnavailable", 1), len(ordinals(view.set)), round_up=False))
    lowest, wanted = ordinals(view.set).start + int(rolling.get("partition") or 0), meta(view.update)["name"]
    away = 0 if most == 1 else sum(not view.healthy(p) for p in view.replicas.values())
    found: list[Object] = []
    for number in reversed(ordinals(view.set)):
        pod = view.replicas.get(number)
        if number < lowest or pod is None or away >= most:
            break
        if revision_label(pod) != wanted and not terminating(pod):
            found.append(pod)
            away += 1
        elif most == 1 and not view.healthy(pod):
            break
    return found


# pods and claims


def versioned_pod(view: View, number: int) -> Object:
    """The pod with this ordinal, of the revision that the update gives it."""
    strategy = spec_of(view.set).get("updateStrategy") or {}
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    old = strategy.get("type", "RollingUpdate") == "RollingUpdate" and number < ordinals(view.set).start + partition
    revision = view.current if old else view.update
    return new_pod(with_template(view.set, revision), number, meta(revision)["name"])


def new_pod(stateful_set: Object, number: int, revision: str) -> Object:
    """A pod of the set's template with the identity of its ordinal."""
    spec, name = spec_of(stateful_set), f"{meta(stateful_set)['name']}-{number}"
    template = edit(spec["template"])
    m, pod_spec = meta(template), template["spec"]
    labels = {**(m.get("labels") or {}), POD_NAME: name, POD_INDEX: str(number), LABEL: revision}
    metadata: dict[str, Any] = {"name": name, "namespace": key_of(stateful_set).namespace, "labels": labels}
    metadata |= {k: m[k] for k in ("annotations", "finalizers") if m.get(k)}
    metadata["ownerReferences"] = [owner_reference(stateful_set)]
    pod_spec["hostname"] = name
    if spec.get("serviceName"):
        pod_spec["subdomain"] = spec["serviceName"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": with_claims(stateful_set, pod_spec, name)}


def with_claims(stateful_set: Object, pod_spec: Mapping[str, Any], pod: str) -> dict[str, Any]:
    """The pod's spec with a volume for each claim template, in place of one of that name."""
    names = templates(stateful_set)
    kept = [v for v in pod_spec.get("volumes") or () if v["name"] not in names]
    claims = [{"name": t, "persistentVolumeClaim": {"claimName": claim_name(t, pod)}} for t in names]
    return {**pod_spec, "volumes": [*claims, *kept]} if claims else dict(pod_spec)


def templates(stateful_set: Object) -> dict[str, Object]:
    """The claim templates by name."""
    return {meta(t)["name"]: t for t in spec_of(stateful_set).get("volumeClaimTemplates") or ()}


def claim_name(template: str, pod: str) -> str:
    """``data-web-0``."""
    return f"{template}-{pod}"


def new_claims(stateful_set: Object, pod: str) -> list[Object]:
    """The claims that a pod's volumes need."""
    labels = (spec_of(stateful_set).get("selector") or {}).get("matchLabels") or {}
    made = []
    for name, template in templates(stateful_set).items():
        metadata = {**meta(template), "name": claim_name(name, pod), "namespace": key_of(stateful_set).namespace}
        metadata["labels"] = {**(meta(template).get("labels") or {}), **labels}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": edit(template["spec"])}
        made.append(claim)
    return made


def claim_owners(stateful_set: Object, claim: Object, pod: Object | None, number: int) -> list[dict[str, Any]]:
    """The ownerReferences of a claim by the set's retention policy: it goes with the set (whenDeleted), with its pod once that is
    beyond the replicas (whenScaled), or with nobody. References to others stay."""
    policy = spec_of(stateful_set).get("persistentVolumeClaimRetentionPolicy") or {}
    beyond = number not in ordinals(stateful_set)
    others = [r for r in meta(claim).get("ownerReferences") or () if not _ours(r, stateful_set)]
    if beyond and policy.get("whenScaled") == "Delete":
        return [*others, owner_reference({"apiVersion": "v1", "kind": "Pod", **pod}, controller=False)] if pod else others
    if policy.get("whenDeleted") == "Delete":
        return [*others, owner_reference(stateful_set)]
    return others


def _ours(reference: Mapping[str, Any], stateful_set: Object) -> bool:
    return bool(
        reference["uid"] == uid_of(stateful_set)
        or (reference["kind"] == "Pod" and reference["name"].startswith(f"{meta(stateful_set)['name']}-"))
    )


# status


def new_status(view: View) -> dict[str, Any]:
    """The status the set should show. An update that is through makes its revision the current one."""
    old, pods = status_of(view.set), [p for p in view.pods if status_of(p).get("phase")]
    update, current = meta(view.update)["name"], meta(view.current)["name"]
    alive = [p for p in pods if not terminating(p)]
    status: dict[str, Any] = {
        "observedGeneration": meta(view.set).get("generation", 0),
        "replicas": len(pods),
        "readyReplicas": sum(map(running, pods)),
        "availableReplicas": sum(running(p) and pod_available(p, view.min_ready, view.now) for p in pods),
        "currentReplicas": sum(revision_label(p) == current for p in alive),
        "updatedReplicas": sum(revision_label(p) == update for p in alive),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": old.get("collisionCount") or 0,
    }
    if old.get("conditions"):
        status["conditions"] = old["conditions"]
    wanted = len(ordinals(view.set))
    rolling = (spec_of(view.set).get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
    if rolling and status["updatedReplicas"] == status["replicas"] == status["readyReplicas"] == wanted:
        status |= {"currentRevision": update, "currentReplicas": status["updatedReplicas"]}
    return {k: v for k, v in status.items() if v not in (0, "") or k in _ALWAYS}


_ALWAYS = ("replicas", "availableReplicas", "collisionCount", "observedGeneration")
