"""Replicas, budgets, spreading, updates: what stays up when a pod, a node or a zone goes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from lateen.check.exposure import store
from lateen.check.finding import Edit, Hit, Severity
from lateen.check.manifest import Manifest, mapping, maps
from lateen.check.practice import usual
from lateen.check.registry import check
from lateen.check.workload import Workload
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_REPLICATED = ("Deployment", "StatefulSet", "Rollout")


def _several(world: World) -> Iterator[Workload]:
    """What is meant to run in several pods."""
    for w in world.serving:
        if w.kind in _REPLICATED and world.fewest(w) > 1:
            yield w


@check(
    "LT-REL-110",
    "one replica",
    WARNING,
    why="Every update of the node, and every crash, is an outage.",
    fix="run at least two replicas, with a PodDisruptionBudget",
)
def one_replica(world: World) -> Iterator[Hit]:
    serving = [w for w in world.serving if w.kind in _REPLICATED and world.fronts(w) and not store(w)]
    common = usual(serving, lambda w: world.fewest(w) > 1)
    for w in serving:
        declared = w.manifest.spec.get("replicas") == 1
        if world.fewest(w) == 1 and not world.scalers(w):
            severity = WARNING if declared or common else INFO
            yield Hit(w.manifest, ("spec", "replicas"), f"{w.name} serves others with one replica", severity)


@check(
    "LT-REL-111",
    "fewer than three replicas",
    INFO,
    why="With two replicas, one is left during every drain: the next failure is an outage.",
    fix="run three replicas where an outage matters",
)
def two_replicas(world: World) -> Iterator[Hit]:
    for w in _several(world):
        if world.fewest(w) == 2 and world.fronts(w):
            yield Hit(w.manifest, ("spec", "replicas"), f"{w.name} runs two replicas")


@check(
    "LT-REL-112",
    "no rolling update",
    WARNING,
    why="Recreate stops every pod before the first new one starts: each update is an outage.",
    fix="use strategy.type: RollingUpdate",
)
def no_rolling(world: World) -> Iterator[Hit]:
    for w in world.serving:
        for key in ("strategy", "updateStrategy"):
            kind = mapping(w.manifest.spec.get(key)).get("type")
            if kind == "Recreate" and world.fronts(w) and not any(v.get("persistentVolumeClaim") for v in w.volumes):
                yield Hit(w.manifest, ("spec", key, "type"), "an update stops every pod first (Recreate)")
            elif kind == "OnDelete":
                yield Hit(w.manifest, ("spec", key, "type"), "updates wait until somebody deletes the pods (OnDelete)", INFO)


@check(
    "LT-REL-113",
    "update takes too many pods at once",
    ERROR,
    why="maxUnavailable of all pods is an outage per update; of most pods, an overload.",
    fix="set maxUnavailable to 0 or 25% and let maxSurge do the work",
)
def max_unavailable(world: World) -> Iterator[Hit]:
    for w in world.serving:
        if w.kind == "DaemonSet":
            continue
        for key in ("strategy", "updateStrategy"):
            value = mapping(mapping(w.manifest.spec.get(key)).get("rollingUpdate")).get("maxUnavailable")
            count, total = _count(value, world.fewest(w), up=False), world.fewest(w)
            if count is not None and total >= 1 and count >= total and value not in (0, "0%"):
                path = ("spec", key, "rollingUpdate", "maxUnavailable")
                severity = INFO if total == 1 else None  # one replica is LT-REL-110's
                yield Hit(w.manifest, path, f"an update may stop {value} of {total} pods at once", severity)


def _count(value: object, total: int, *, up: bool) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        share = int(value[:-1]) * total
        return -(-share // 100) if up else share // 100
    return None


@check(
    "LT-REL-114",
    "no PodDisruptionBudget",
    WARNING,
    why="Without one, draining nodes may stop all pods of the service at once.",
    fix="add a PodDisruptionBudget with maxUnavailable: 1",
)
def no_budget(world: World) -> Iterator[Hit]:
    bare = defaultdict(list)
    for w in _several(world):
        if not world.budgets(w) and world.fronts(w):
            bare[w.namespace].append(w)
    known = {world.namespace(m) for m in world.kind("PodDisruptionBudget")}
    for namespace, found in bare.items():
        for group in [[w] for w in found] if namespace in known else [found]:
            names = ", ".join(w.name for w in group)
            yield Hit(group[0].manifest, ("spec", "replicas"), f"no PodDisruptionBudget covers {names}")


@check(
    "LT-REL-115",
    "PodDisruptionBudget without a limit",
    WARNING,
    why="With neither minAvailable nor maxUnavailable the budget says nothing.",
    fix="set maxUnavailable: 1",
)
def empty_budget(world: World) -> Iterator[Hit]:
    for m in world.kind("PodDisruptionBudget"):
        if "minAvailable" not in m.spec and "maxUnavailable" not in m.spec:
            yield Hit(m, ("spec",), "the budget has neither minAvailable nor maxUnavailable")


def _targets(world: World, budget: Manifest) -> list[Workload]:
    return [w for w in world.selected(world.namespace(budget), budget.spec.get("selector")) if w.kind in _REPLICATED]


@check(
    "LT-REL-116",
    "PodDisruptionBudget blocks every eviction",
    ERROR,
    why="No node with such a pod can be drained: upgrades of the cluster hang.",
    fix="set maxUnavailable: 1, and run at least two replicas",
)
def blocking_budget(world: World) -> Iterator[Hit]:
    for m in world.kind("PodDisruptionBudget"):
        targets = _targets(world, m)
        total = sum(world.fewest(w) for w in targets)
        if m.spec.get("maxUnavailable") in (0, "0", "0%"):
            yield Hit(m, ("spec", "maxUnavailable"), "the budget allows no eviction at all")
        elif m.spec.get("minAvailable") == "100%":
            yield Hit(m, ("spec", "minAvailable"), "the budget allows no eviction at all")
        elif targets and not any(world.scalers(w) for w in targets):
            least = _count(m.spec.get("minAvailable"), total, up=True)
            if least is not None and least >= total > 0:
                yield Hit(m, ("spec", "minAvailable"), f"the budget wants {least} of {total} pods: no eviction is possible")


@check(
    "LT-REL-117",
    "sick pods block evictions",
    INFO,
    why="By default a pod that is not ready still counts: a broken service keeps its node from being drained.",
    fix="set unhealthyPodEvictionPolicy: AlwaysAllow",
)
def unhealthy_eviction(world: World) -> Iterator[Hit]:
    for m in world.kind("PodDisruptionBudget"):
        if m.spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            path = ("spec", "unhealthyPodEvictionPolicy")
            yield Hit(m, path, "pods that are not ready block the drain of their node", None, (Edit(path, "AlwaysAllow"),))


@check(
    "LT-REL-118",
    "budget above the autoscaler's minimum",
    ERROR,
    why="At low load the autoscaler goes down to its minimum, and from then on no pod can be evicted.",
    fix="keep minAvailable below minReplicas, or use maxUnavailable",
)
def budget_above_scaler(world: World) -> Iterator[Hit]:
    for m in world.kind("PodDisruptionBudget"):
        for w in _targets(world, m):
            least = m.spec.get("minAvailable")
            for scaler in world.scalers(w):
                low = scaler.spec.get("minReplicas", 1)
                if isinstance(least, int) and isinstance(low, int) and least >= low:
                    yield Hit(m, ("spec", "minAvailable"), f"the budget wants {least} pods, the autoscaler goes down to {low}")


@check(
    "LT-REL-227",
    "PodDisruptionBudget covers nothing",
    WARNING,
    why="It protects nothing, and who reads it believes that it does.",
    fix="correct spec.selector to the labels of the pods",
)
def idle_budget(world: World) -> Iterator[Hit]:
    for m in world.kind("PodDisruptionBudget"):
        namespace = world.namespace(m)
        if m.spec.get("selector") and world.in_namespace(namespace) and not world.selected(namespace, m.spec["selector"]):
            yield Hit(m, ("spec", "selector"), "the budget selects no pod")


@check(
    "LT-REL-228",
    "two budgets for one pod",
    ERROR,
    why="A pod that two budgets select cannot be evicted at all: the API refuses.",
    fix="make the selectors disjoint",
)
def two_budgets(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        found = world.budgets(w)
        if len(found) > 1:
            yield Hit(found[1], ("spec", "selector"), f"{w.name} is covered by {' and '.join(m.name for m in found)}")


def _spread(w: Workload) -> bool:
    affinity = mapping(w.pod.get("affinity"))
    return bool(w.pod.get("topologySpreadConstraints") or affinity.get("podAntiAffinity"))


@check(
    "LT-REL-119",
    "replicas may share a node",
    WARNING,
    why="Nothing keeps the replicas apart: the loss of one node can be the loss of the service.",
    fix="add a topologySpreadConstraint over kubernetes.io/hostname",
)
def no_spread(world: World) -> Iterator[Hit]:
    several = list(_several(world))
    common = usual(several, _spread)
    for w in several:
        if not _spread(w):
            yield Hit(w.manifest, w.path(), "nothing spreads the replicas over nodes", WARNING if common else INFO)


@check(
    "LT-REL-120",
    "spreading that matches no pod",
    WARNING,
    why="A constraint whose selector does not match the pod itself counts nothing, and so spreads nothing.",
    fix="use the labels of the pod template in labelSelector",
)
def idle_spread(world: World) -> Iterator[Hit]:
    from lateen.kube import selectors

    for w in world.serving:
        for i, c in enumerate(maps(w.pod.get("topologySpreadConstraints"))):
            selector = c.get("labelSelector")
            if not isinstance(selector, dict) or not selectors.from_selector(selector)(w.labels):
                path = w.path("topologySpreadConstraints", i, "labelSelector")
                yield Hit(w.manifest, path, "the spread constraint does not match the pods themselves")


@check(
    "LT-REL-229",
    "affinity to pods that are not there",
    WARNING,
    why="Pods that must be beside pods which do not exist stay Pending.",
    fix="correct the term's labels, or use preferredDuringScheduling",
)
def absent_neighbour(world: World) -> Iterator[Hit]:
    from lateen.kube import selectors

    for w in world.serving:
        own = mapping(mapping(w.pod.get("affinity")).get("podAffinity"))
        for i, term in enumerate(maps(own.get("requiredDuringSchedulingIgnoredDuringExecution"))):
            matching = [o for o in world.workloads if selectors.from_selector(mapping(term.get("labelSelector")))(o.labels)]
            if world.workloads and not matching and not term.get("namespaces") and not term.get("namespaceSelector"):
                path = w.path("affinity", "podAffinity", "requiredDuringSchedulingIgnoredDuringExecution", i)
                yield Hit(w.manifest, path, "the pods must be beside pods that are not there: they stay Pending")


@check(
    "LT-REL-121",
    "no priority class",
    INFO,
    why="When room is short, the scheduler cannot tell what may wait.",
    fix="set priorityClassName",
)
def no_priority(world: World) -> Iterator[Hit]:
    common = usual(world.serving, lambda w: bool(w.pod.get("priorityClassName")))
    for w in world.serving:
        if not w.pod.get("priorityClassName"):
            yield Hit(w.manifest, w.path("priorityClassName"), "the pods have no priority class", WARNING if common else INFO)


@check(
    "LT-REL-230",
    "system priority for an application",
    WARNING,
    why="system-cluster-critical and system-node-critical push out everything else, DNS included.",
    fix="create a PriorityClass of your own",
)
def system_priority(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        name = str(w.pod.get("priorityClassName") or "")
        if name.startswith("system-") and not w.namespace.startswith("kube-"):
            yield Hit(w.manifest, w.path("priorityClassName"), f"the pods have the priority of the system ({name})")


@check(
    "LT-REL-124",
    "naked pod",
    WARNING,
    why="A pod without a controller is not started again when its node goes.",
    fix="use a Deployment, StatefulSet or Job",
)
def naked(world: World) -> Iterator[Hit]:
    if world.live:
        return
    for m in world.kind("Pod"):
        hooks = any(k.startswith(("helm.sh/hook", "argocd.argoproj.io/hook")) for k in m.annotations)
        if not m.metadata.get("ownerReferences") and not hooks:
            yield Hit(m, ("kind",), "the pod has no controller")


@check(
    "LT-REL-231",
    "no replicas",
    WARNING,
    why="Nothing runs, and what calls it fails.",
    fix="set replicas, or remove the workload",
)
def zero(world: World) -> Iterator[Hit]:
    for w in world.serving:
        if w.manifest.spec.get("replicas") == 0 and not world.scalers(w) and world.fronts(w):
            yield Hit(w.manifest, ("spec", "replicas"), f"{w.name} is behind a Service and has no replicas")


@check(
    "LT-REL-232",
    "one volume for several replicas",
    WARNING,
    why="A ReadWriteOnce volume can be on one node: the other replicas stay Pending, or an update hangs.",
    fix="use a StatefulSet with volumeClaimTemplates, or ReadWriteMany",
)
def shared_once(world: World) -> Iterator[Hit]:
    for w in world.serving:
        for i, v in enumerate(w.volumes):
            name = mapping(v.get("persistentVolumeClaim")).get("claimName")
            claim = world.get("PersistentVolumeClaim", w.namespace, str(name)) if name else None
            modes = (claim.spec.get("accessModes") or []) if claim else []
            most = max([world.fewest(w), *(int(s.spec.get("maxReplicas") or 0) for s in world.scalers(w))])
            if claim and "ReadWriteOnce" in modes and "ReadWriteMany" not in modes and w.kind == "Deployment":
                rolling = mapping(w.manifest.spec.get("strategy")).get("type") != "Recreate"
                at = w.path("volumes", i, "persistentVolumeClaim")
                if most > 1:
                    yield Hit(w.manifest, at, f"{most} replicas share the ReadWriteOnce claim {name}")
                elif rolling and mapping(mapping(w.manifest.spec.get("strategy")).get("rollingUpdate")).get("maxSurge") != 0:
                    yield Hit(w.manifest, at, f"an update starts a second pod on the ReadWriteOnce claim {name}", INFO)


_KEEPS = re.compile(
    r"postgres|mysql|mariadb|percona|mongo|cassandra|scylla|elasticsearch|opensearch|couch|cockroach|etcd|influx|clickhouse|neo4j|kafka|minio"
)


@check(
    "LT-REL-261",
    "data store without a volume",
    WARNING,
    why="Its data lives in the pod: every restart on another node, and every update, loses all of it.",
    fix="use volumeClaimTemplates (StatefulSet) or a PersistentVolumeClaim",
)
def lost_data(world: World) -> Iterator[Hit]:
    for w in world.serving:
        image = store(w)
        lasting = any(k in v for v in w.volumes for k in ("persistentVolumeClaim", "hostPath", "nfs", "csi", "ephemeral", "iscsi"))
        if image and _KEEPS.search(image.rpartition("/")[2]) and not lasting and not w.manifest.spec.get("volumeClaimTemplates"):
            yield Hit(w.manifest, w.path("volumes"), f"{w.name} ({image}) keeps its data in the pod")
