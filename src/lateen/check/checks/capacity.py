"""Requests and limits: what pods ask for, what they may take, and what that wastes."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from fractions import Fraction

from lateen.check.finding import Hit, Severity
from lateen.check.manifest import mapping
from lateen.check.practice import on, usual
from lateen.check.registry import check
from lateen.check.workload import Container
from lateen.check.world import World
from lateen.kube import quantity

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_GI = 2**30


def amount(c: Container, kind: str, name: str) -> Fraction | None:
    """A request or limit, None when it is not set or no quantity."""
    value = mapping(mapping(c.data.get("resources")).get(kind)).get(name)
    try:
        return quantity.parse(value) if value is not None else None
    except (TypeError, ValueError):
        return None


def _effective(c: Container, name: str) -> Fraction | None:
    """The request: a limit without one is one."""
    request = amount(c, "requests", name)
    return amount(c, "limits", name) if request is None else request


def _staying(world: World) -> list[Container]:
    return [c for c in world.containers if c.stays]


def _ranged(world: World, container: Container, kind: str, name: str) -> bool:
    """Whether a LimitRange of the namespace gives the value."""
    key = "defaultRequest" if kind == "requests" else "default"
    for m in world.kind("LimitRange"):
        if world.namespace(m) == container.workload.namespace:
            for limit in m.spec.get("limits") or ():
                if name in mapping(mapping(limit).get(key)) or name in mapping(mapping(limit).get("default")):
                    return True
    return False


def _missing(world: World, name: str) -> Iterator[Hit]:
    """Containers without a request, said as gently as what the others do allows."""
    for c in _staying(world):
        if _effective(c, name) is None and not _ranged(world, c, "requests", name) and not _whole_pod(c, name):
            yield on(c, "resources", "requests", name, say=f"requests no {name}", severity=_graded(c))


def _graded(c: Container) -> Severity | None:
    """Advice where nothing at all is set: LT-CAP-168 says so once."""
    return None if c.workload.serves and c.data.get("resources") else INFO


def _whole_pod(c: Container, name: str) -> bool:
    """Whether the pod as a whole has the resource (pod-level resources)."""
    whole = mapping(c.workload.pod.get("resources"))
    return name in mapping(whole.get("requests")) or name in mapping(whole.get("limits"))


@check(
    "LT-CAP-140",
    "no CPU request",
    WARNING,
    why="The scheduler takes it for nothing, and it gets nothing when the node is busy.",
    fix="set resources.requests.cpu to what it uses at normal load",
)
def cpu_request(world: World) -> Iterator[Hit]:
    return _missing(world, "cpu")


@check(
    "LT-CAP-141",
    "no memory request",
    WARNING,
    why="The scheduler packs the node too full; the kernel then kills whoever is over, and this one first.",
    fix="set resources.requests.memory to its peak",
)
def memory_request(world: World) -> Iterator[Hit]:
    return _missing(world, "memory")


@check(
    "LT-CAP-142",
    "no memory limit",
    WARNING,
    why="A leak takes the node's memory, and its neighbours are killed.",
    fix="set resources.limits.memory",
)
def memory_limit(world: World) -> Iterator[Hit]:
    for c in _staying(world):
        if amount(c, "limits", "memory") is None and not _ranged(world, c, "limits", "memory") and not _whole_pod(c, "memory"):
            yield on(c, "resources", "limits", "memory", say="has no memory limit", severity=_graded(c))


@check(
    "LT-CAP-143",
    "no CPU limit",
    INFO,
    why="Without one a container may use what is idle: good for latency, bad where neighbours must be kept apart.",
    fix="set resources.limits.cpu where tenants must not disturb each other",
)
def cpu_limit(world: World) -> Iterator[Hit]:
    staying = _staying(world)
    common = usual(staying, lambda c: amount(c, "limits", "cpu") is not None, share=0.7)
    for c in staying:
        if amount(c, "limits", "cpu") is None and not _ranged(world, c, "limits", "cpu") and not _whole_pod(c, "cpu"):
            say = "has no CPU limit" + (", unlike the others" if common else "")
            yield on(c, "resources", "limits", "cpu", say=say, severity=WARNING if common else INFO)


@check(
    "LT-CAP-144",
    "limit far above the request",
    WARNING,
    why="The scheduler counts the request, the container takes the limit: the node is promised several times over.",
    fix="bring the request near what is really used, or lower the limit (settings.limit_ratio)",
)
def ratio(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for name, most in (("memory", world.settings.limit_ratio), ("cpu", world.settings.limit_ratio * 2.5)):
            request, limit = amount(c, "requests", name), amount(c, "limits", name)
            if request and limit and limit > request * Fraction(most):
                say = f"may take {float(limit / request):.0f} times the {name} it requests"
                yield on(c, "resources", "limits", name, say=say)


@check(
    "LT-CAP-243",
    "request above the limit",
    ERROR,
    why="The API refuses the pod.",
    fix="make the limit at least the request",
)
def above(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for name in mapping(mapping(c.data.get("resources")).get("limits")):
            request, limit = amount(c, "requests", name), amount(c, "limits", name)
            if request is not None and limit is not None and request > limit:
                yield on(c, "resources", "requests", name, say=f"requests more {name} than its limit allows")


@check(
    "LT-CAP-145",
    "stateful pod may be evicted for memory",
    INFO,
    why="A database whose memory limit differs from its request is killed before others when the node runs short.",
    fix="set the memory limit equal to the request",
)
def stateful_memory(world: World) -> Iterator[Hit]:
    for c in _staying(world):
        request, limit = amount(c, "requests", "memory"), amount(c, "limits", "memory")
        if c.workload.kind == "StatefulSet" and request and limit and limit != request:
            yield on(c, "resources", "limits", "memory", say="has a memory limit that differs from its request")


@check(
    "LT-CAP-146",
    "no limit on the disk of the node",
    INFO,
    why="Logs and temporary files fill the node's disk; then every pod on it is evicted.",
    fix="set resources.requests and limits of ephemeral-storage",
)
def ephemeral(world: World) -> Iterator[Hit]:
    staying = _staying(world)
    common = usual(staying, lambda c: amount(c, "limits", "ephemeral-storage") is not None)
    for c in staying:
        if amount(c, "limits", "ephemeral-storage") is None:
            say = "has no limit of ephemeral-storage"
            yield on(c, "resources", "limits", "ephemeral-storage", say=say, severity=WARNING if common else INFO)


@check(
    "LT-CAP-147",
    "emptyDir without sizeLimit",
    INFO,
    why="It grows until the node's disk (or for Memory: the pod's memory) is full.",
    fix="set emptyDir.sizeLimit",
)
def empty_dir(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for i, v in enumerate(w.volumes):
            if isinstance(v.get("emptyDir"), dict) and not v["emptyDir"].get("sizeLimit"):
                memory = v["emptyDir"].get("medium") == "Memory"
                say = f"the volume {v.get('name')} has no sizeLimit" + (" and counts as memory" if memory else "")
                yield Hit(w.manifest, w.path("volumes", i, "emptyDir"), say, WARNING if memory else INFO)


@check(
    "LT-CAP-148",
    "very large request",
    WARNING,
    why="A pod that asks for more than it uses keeps a node busy that somebody pays for; a very large one finds no node.",
    fix="measure, and request the 95th percentile of use",
)
def huge(world: World) -> Iterator[Hit]:
    for c in _staying(world):
        cpu, memory = _effective(c, "cpu"), _effective(c, "memory")
        large = (8, 32) if _stateless(c) and not _accelerated(c) else (32, 256)
        if cpu is not None and cpu >= large[0]:
            yield on(c, "resources", "requests", "cpu", say=f"requests {float(cpu):g} CPUs for each replica")
        if memory is not None and memory >= large[1] * _GI:
            yield on(c, "resources", "requests", "memory", say=f"requests {float(memory / _GI):g} GiB for each replica")


def _accelerated(c: Container) -> bool:
    """With a GPU or its like, much CPU and memory belong to it."""
    return any("/" in str(k) for kind in ("requests", "limits") for k in mapping(c.at("resources", kind)))


@check(
    "LT-CAP-149",
    "request far above that of the others",
    WARNING,
    why="One service that asks for many times what its neighbours do is mostly a guess that nobody looked at again.",
    fix="measure, and lower the request",
)
def outlier(world: World) -> Iterator[Hit]:
    staying = _staying(world)
    for name, floor in (("cpu", Fraction(1)), ("memory", Fraction(2 * _GI))):
        asked = [(v, c) for c in staying if (v := _effective(c, name)) is not None]
        large = [(v, c) for v, c in asked if v >= floor]
        if len(asked) < 3 or not large:
            continue
        median = statistics.median_high(v for v, _ in asked)
        for value, c in large:
            if median > 0 and value >= 10 * median and _stateless(c):
                say = f"requests {float(value / median):.0f} times the {name} that is usual here"
                yield on(c, "resources", "requests", name, say=say)


def _stateless(c: Container) -> bool:
    from lateen.check.exposure import store

    return c.workload.kind != "StatefulSet" and not store(c.workload)


@check(
    "LT-CAP-151",
    "very many replicas by hand",
    WARNING,
    why="A fixed number that fits the peak is idle the rest of the time.",
    fix="let an autoscaler choose between a small minimum and this number (settings.surge_replicas)",
)
def many_replicas(world: World) -> Iterator[Hit]:
    for w in world.serving:
        if w.replicas >= world.settings.surge_replicas and not world.scalers(w) and w.kind != "DaemonSet":
            yield Hit(w.manifest, ("spec", "replicas"), f"{w.name} runs {w.replicas} replicas at all times")


@check(
    "LT-CAP-165",
    "heap does not fit the limit",
    ERROR,
    why="A heap as large as the container's limit leaves nothing for the rest of the process: the kernel kills it.",
    fix="keep the heap at three quarters of the memory limit, or use -XX:MaxRAMPercentage",
)
def heap(world: World) -> Iterator[Hit]:
    units = {"k": 2**10, "m": 2**20, "g": 2**30, "": 1}
    for c in world.containers:
        limit = amount(c, "limits", "memory")
        texts = [
            *((("env", i, "value"), str(e.get("value", ""))) for i, e in enumerate(c.env)),
            *(((k, i), w) for k, i, w in c.arguments()),
        ]
        for path, text in texts if limit else ():
            found = re.search(r"-Xmx(\d+)([kKmMgG]?)\b", text)
            old = re.search(r"--max[-_]old[-_]space[-_]size=(\d+)", text)
            size = int(found.group(1)) * units[found.group(2).lower()] if found else int(old.group(1)) * 2**20 if old else 0
            if limit and size > limit * Fraction(9, 10):
                say = f"has a heap of {size // 2**20} MiB and a memory limit of {int(limit) // 2**20} MiB"
                yield on(c, *path, say=say)


@check(
    "LT-CAP-168",
    "no requests and no limits",
    WARNING,
    why="Nothing is reserved for it and nothing holds it back: it starves or is killed first, and it can take the whole node.",
    fix="set requests of cpu and memory, and a memory limit",
)
def best_effort(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for c in w.containers:
            ranged = any(_ranged(world, c, "requests", name) for name in ("cpu", "memory"))
            if c.stays and not mapping(c.data.get("resources")) and not w.pod.get("resources") and not ranged:
                say = "requests no cpu, no memory, and has no limits"
                yield on(c, "resources", say=say, severity=None if w.serves or w.kind == "Pod" else INFO)


@check(
    "LT-CAP-244",
    "quantity that was not meant",
    ERROR,
    why="`m` after memory means thousandths of a byte, and a bare small number means bytes or whole CPUs.",
    fix="write Mi or Gi for memory, m for CPU",
)
def odd_quantity(world: World) -> Iterator[Hit]:
    for c in world.containers:
        for kind in ("requests", "limits"):
            memory, cpu = amount(c, kind, "memory"), amount(c, kind, "cpu")
            if memory is not None and 0 < memory < 2**20:
                yield on(
                    c,
                    "resources",
                    kind,
                    "memory",
                    say=f"has {mapping(c.at('resources', kind)).get('memory')} of memory: less than 1 MiB",
                )
            if cpu is not None and cpu >= 128:
                yield on(c, "resources", kind, "cpu", say=f"has {float(cpu):g} CPUs")


@check(
    "LT-CAP-164",
    "claim that nobody uses",
    INFO,
    why="A volume that no pod mounts is paid for all the same.",
    fix="remove it, or mount it",
)
def unused_claim(world: World) -> Iterator[Hit]:
    used = {(w.namespace, mapping(v.get("persistentVolumeClaim")).get("claimName")) for w in world.workloads for v in w.volumes}
    for m in world.kind("PersistentVolumeClaim"):
        if (world.namespace(m), m.name) not in used and world.in_namespace(world.namespace(m)):
            yield Hit(m, ("metadata", "name"), f"no workload mounts the claim {m.name}")


@check(
    "LT-CAP-167",
    "pod that keeps its node",
    WARNING,
    why="safe-to-evict: false keeps the autoscaler from ever removing the node.",
    fix="remove the annotation; use a PodDisruptionBudget",
)
def keeps_node(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        for key in ("cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"):
            if w.annotations.get(key) == ("false" if "safe" in key else "true") and w.serves:
                yield Hit(w.manifest, w.meta("annotations", key), f"the pods keep their node from being removed ({key})")
