"""What a DaemonSet should do next. Pure: the set, the nodes and its pods in; steps and a status out.

The algorithm is that of kube-controller-manager (daemon_controller.go, update.go, daemonset_util.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lateen.cluster.controllers.kit import pod_available, pod_ready, spec_of, status_of
from lateen.cluster.controllers.revisions import HASH, LABEL
from lateen.kube.intstr import scaled
from lateen.kube.meta import Object, annotations_of, edit, key_of, labels_of, meta, owner_reference, parse_time
from lateen.kube.nodeterms import node_selector_holds, untolerated

_GENERATION = "deprecated.daemonset.template.generation"
_NODE = "node.kubernetes.io/"
_NO_EXECUTE = ("not-ready", "unreachable")
_NO_SCHEDULE = ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a daemon pod should be put on a node, and whether one that is there may stay."""

    run: bool
    stay: bool


@dataclass(slots=True, kw_only=True)
class View:
    """The set and the world it looks at. ``update`` is the revision of the present template."""

    set: Object
    nodes: Sequence[Object]
    pods: Sequence[Object]
    update: Object
    now: datetime
    by_node: dict[str, list[Object]] = field(default_factory=dict)
    stray: list[Object] = field(default_factory=list)  # pods for nodes that are not there
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tolerations = _tolerations(spec_of(self.set)["template"]["spec"])
        self.verdicts = {meta(n)["name"]: _verdict(self.set, n, tolerations) for n in self.nodes}
        self.by_node = {name: [] for name in self.verdicts}
        for pod in self.pods:
            self.by_node.get(target_of(pod), self.stray).append(pod)

    @property
    def hash(self) -> str:
        return str(meta(self.update)["labels"][HASH])

    @property
    def min_ready(self) -> float:
        return float(spec_of(self.set).get("minReadySeconds") or 0)

    def available(self, pod: Object) -> bool:
        """Ready, for long enough, and not on its way out."""
        return not terminating(pod) and pod_available(pod, self.min_ready, self.now)

    def updated(self, pod: Object) -> bool:
        """Whether it was made from the present template."""
        return labels_of(pod).get(LABEL) == self.hash


@dataclass(slots=True)
class Steps:
    """What to do. ``create`` are names of nodes; ``failed`` and ``finished`` are pods that ended by themselves and are deleted."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)
    finished: list[Object] = field(default_factory=list)


def terminating(pod: Object) -> bool:
    """Whether it is on its way out."""
    return bool(meta(pod).get("deletionTimestamp"))


def target_of(pod: Object) -> str:
    """The node that a daemon pod is, or is meant to be, on."""
    if node := spec_of(pod).get("nodeName"):
        return str(node)
    affinity = ((spec_of(pod).get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for rule in term.get("matchFields") or ():
            if rule.get("key") == "metadata.name" and rule.get("operator") == "In" and len(rule.get("values") or ()) == 1:
                return str(rule["values"][0])
    return ""


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _verdict(daemon_set: Object, node: Object, tolerations: Sequence[Mapping[str, Any]]) -> Verdict:
    spec, name, labels = spec_of(daemon_set)["template"]["spec"], meta(node)["name"], labels_of(node)
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    fits = spec.get("nodeName") in (None, "", name) and all(labels.get(k) == v for k, v in (spec.get("nodeSelector") or {}).items())
    if not fits or not node_selector_holds(affinity, name, labels):
        return Verdict(False, False)
    taints = spec_of(node).get("taints") or ()
    if untolerated(taints, tolerations, "NoSchedule", "NoExecute"):
        return Verdict(False, not untolerated(taints, tolerations, "NoExecute"))
    return Verdict(True, True)


def _tolerations(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The template's, and those of every daemon pod: it stays on a node in trouble."""
    extra = [{"key": _NODE + k, "operator": "Exists", "effect": "NoExecute"} for k in _NO_EXECUTE]
    soft = [*_NO_SCHEDULE, "network-unavailable"] if spec.get("hostNetwork") else _NO_SCHEDULE
    extra += [{"key": _NODE + k, "operator": "Exists", "effect": "NoSchedule"} for k in soft]
    found = list(spec.get("tolerations") or ())
    return [*found, *(t for t in extra if t not in found)]


def new_pod(view: View, node: str) -> Object:
    """A pod of the set's template for one node; the scheduler binds it there."""
    template = edit(spec_of(view.set)["template"])
    m, spec, name = meta(template), template["spec"], meta(view.set)["name"]
    labels = {**(m.get("labels") or {}), LABEL: view.hash, "pod-template-generation": generation_of(view.set)}
    metadata: dict[str, Any] = {"generateName": f"{name[:57]}-", "namespace": key_of(view.set).namespace, "labels": labels}
    metadata |= {k: m[k] for k in ("annotations", "finalizers") if m.get(k)}
    metadata["ownerReferences"] = [owner_reference(view.set)]
    here = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = dict(spec.get("affinity") or {})
    affinity["nodeAffinity"] = {**(affinity.get("nodeAffinity") or {}), _REQUIRED: {"nodeSelectorTerms": [here]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**spec, "affinity": affinity, "tolerations": _tolerations(spec)},
    }


def generation_of(daemon_set: Object) -> str:
    """The template generation, which an annotation counts."""
    return annotations_of(daemon_set).get(_GENERATION, "1")


def steps(view: View) -> Steps:
    """A pod on every node that should have one, none elsewhere, then the update."""
    found = Steps(delete=[p for p in view.stray if not terminating(p)])
    for name, pods in view.by_node.items():
        _manage(view, name, pods, found)
    if (spec_of(view.set).get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate":
        _update(view, found)
    return found


def _manage(view: View, name: str, pods: Sequence[Object], found: Steps) -> None:
    verdict = view.verdicts[name]
    if not verdict.stay:
        found.delete += [p for p in pods if not terminating(p)]
        return
    alive = []
    for pod in pods:
        phase = status_of(pod).get("phase")
        if terminating(pod):
            alive.append(pod)
        elif phase in ("Failed", "Succeeded"):
            (found.failed if phase == "Failed" else found.finished).append(pod)
        else:
            alive.append(pod)
    if verdict.run and not pods:
        found.create.append(name)
    elif len(alive) > 1:
        found.delete += [p for p in _surplus(view, alive) if not terminating(p)]


def _surplus(view: View, pods: Sequence[Object]) -> list[Object]:
    """Of several pods on a node the oldest stays; while a surge goes on, the oldest of each version."""
    if not _surge(view):
        return sorted(pods, key=_age)[1:]
    both = ([p for p in pods if view.updated(p)], [p for p in pods if not view.updated(p)])
    return [p for group in both for p in sorted(group, key=_age)[1:]]


def _age(pod: Object) -> tuple[bool, str, str]:
    return (not spec_of(pod).get("nodeName"), meta(pod).get("creationTimestamp") or "", meta(pod)["name"])


def _rolling(view: View) -> Mapping[str, Any]:
    return (spec_of(view.set).get("updateStrategy") or {}).get("rollingUpdate") or {}


def _desired(view: View) -> int:
    return sum(v.run for v in view.verdicts.values())


def _surge(view: View) -> int:
    return scaled(_rolling(view).get("maxSurge") or 0, _desired(view), round_up=True)


def _update(view: View, found: Steps) -> None:
    if most := _surge(view):
        _surging(view, found, most)
        return
    most = scaled(_rolling(view).get("maxUnavailable", 1), _desired(view), round_up=True)
    away, ready = 0, []
    leaving = {meta(p)["name"] for p in (*found.delete, *found.failed, *found.finished)}
    for name, pods in view.by_node.items():
        if not view.verdicts[name].run:
            continue
        here = [p for p in pods if meta(p)["name"] not in leaving]
        if len(here) != 1 or not view.available(here[0]):
            away += 1
            # an old one that does not work anyway is replaced at once
            found.delete += [p for p in here if not view.updated(p) and not terminating(p)]
        elif not view.updated(here[0]):
            ready.append(here[0])
    found.delete += ready[: max(0, most - away)]


def _surging(view: View, found: Steps, most: int) -> None:
    """New pods beside old ones, at most ``most`` at a time; an old one goes when the new one is available."""
    surging, candidates = 0, []
    for name, pods in view.by_node.items():
        if not view.verdicts[name].run:
            continue
        new = next((p for p in pods if view.updated(p) and not terminating(p)), None)
        old = next((p for p in pods if not view.updated(p) and not terminating(p)), None)
        if old is None:
            continue
        if new is not None and view.available(new):
            found.delete.append(old)
        elif new is not None:
            surging += 1
        elif not view.available(old):
            found.create.append(name)
        else:
            candidates.append(name)
    found.create += candidates[: max(0, most - surging)]


def new_status(view: View) -> dict[str, Any]:
    """The status the set should show."""
    counts = dict.fromkeys(("desired", "current", "misscheduled", "ready", "updated", "available"), 0)
    for name, pods in view.by_node.items():
        if not view.verdicts[name].run:
            counts["misscheduled"] += bool(pods)
            continue
        counts["desired"] += 1
        if pods:
            _count(view, min(pods, key=lambda p: (not pod_ready(p), _newest_last(p))), pods, counts)
    status = {
        "observedGeneration": meta(view.set).get("generation", 0),
        "desiredNumberScheduled": counts["desired"],
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["misscheduled"],
        "numberReady": counts["ready"],
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
    }
    old = status_of(view.set)
    status |= {k: old[k] for k in ("collisionCount", "conditions") if old.get(k)}
    return {k: v for k, v in status.items() if v or k in _ALWAYS}


_ALWAYS = ("desiredNumberScheduled", "currentNumberScheduled", "numberMisscheduled", "numberReady")


def _newest_last(pod: Object) -> float:
    made = meta(pod).get("creationTimestamp")
    return parse_time(made).timestamp() if made else 0.0


def _count(view: View, pod: Object, pods: Iterable[Object], counts: dict[str, int]) -> None:
    counts["current"] += 1
    if pod_ready(pod):
        counts["ready"] += 1
        counts["available"] += pod_available(pod, view.min_ready, view.now)
    counts["updated"] += any(view.updated(p) for p in pods)
