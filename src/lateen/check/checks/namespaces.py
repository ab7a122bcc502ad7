"""Namespaces: what they must carry so that limits hold for everything inside."""

from __future__ import annotations

from collections.abc import Iterator

from lateen.check.finding import Hit, Severity
from lateen.check.registry import check
from lateen.check.world import World

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
_PSA = "pod-security.kubernetes.io/enforce"
_SYSTEM = ("kube-system", "kube-public", "kube-node-lease", "default")


@check(
    "LT-NS-096",
    "default namespace",
    WARNING,
    why="Quotas, policies and rights are set per namespace; in default everything is mixed.",
    fix="create a namespace for the application",
)
def default_namespace(world: World) -> Iterator[Hit]:
    for w in world.workloads:
        if w.manifest.namespace == "default":
            yield Hit(w.manifest, ("metadata", "namespace"), f"{w} is in the namespace default")


@check(
    "LT-NS-097",
    "no Pod Security level",
    WARNING,
    why="Without the label the namespace admits any pod, privileged ones included.",
    fix=f"label it {_PSA}: restricted (or baseline)",
)
def pod_security(world: World) -> Iterator[Hit]:
    for m in world.kind("Namespace"):
        level = m.labels.get(_PSA)
        if level == "privileged":
            yield Hit(m, ("metadata", "labels", _PSA), "the namespace admits privileged pods")
        elif level is None and m.name not in _SYSTEM:
            yield Hit(m, ("metadata", "labels"), "the namespace has no Pod Security level", INFO)


@check(
    "LT-NS-098",
    "no ResourceQuota",
    INFO,
    why="One namespace can take the whole cluster, by mistake or by autoscaling.",
    fix="add a ResourceQuota",
)
def no_quota(world: World) -> Iterator[Hit]:
    covered = {world.namespace(q) for q in world.kind("ResourceQuota")}
    for m in world.kind("Namespace"):
        if m.name not in covered and m.name not in _SYSTEM:
            yield Hit(m, ("metadata", "name"), "the namespace has no ResourceQuota")


@check(
    "LT-NS-099",
    "no LimitRange",
    INFO,
    why="Pods that say nothing get nothing: no requests, no limits.",
    fix="add a LimitRange with defaults",
)
def no_limit_range(world: World) -> Iterator[Hit]:
    covered = {world.namespace(q) for q in world.kind("LimitRange")}
    for m in world.kind("Namespace"):
        if m.name not in covered and m.name not in _SYSTEM:
            yield Hit(m, ("metadata", "name"), "the namespace has no LimitRange")


@check(
    "LT-NS-225",
    "pods that their namespace refuses",
    ERROR,
    why="Pod Security admission rejects them: the workload is created and no pod ever starts.",
    fix="make the pods fit the level, or change the namespace's label",
)
def refused(world: World) -> Iterator[Hit]:
    from lateen.kube import podsecurity

    for m in world.kind("Namespace"):
        level = m.labels.get(_PSA)
        if level not in ("baseline", "restricted"):
            continue
        for w in world.in_namespace(m.name):
            found = podsecurity.evaluate("baseline" if level == "baseline" else "restricted", w.pod, w.annotations)
            if found:
                reasons = ", ".join(v.reason for v in found)
                yield Hit(w.manifest, w.path(), f"the namespace {m.name} enforces {level} and refuses the pods: {reasons}")


@check(
    "LT-NS-226",
    "namespace does not exist",
    WARNING,
    why="Objects of a namespace that is not there are refused.",
    fix="correct metadata.namespace, or add the Namespace",
)
def missing_namespace(world: World) -> Iterator[Hit]:
    from lateen.check.nearby import nearest

    known = [m.name for m in world.kind("Namespace")]
    for m in world.objects if known else ():
        if m.namespace and m.namespace not in (*known, *_SYSTEM) and (hint := nearest(m.namespace, known)):
            yield Hit(m, ("metadata", "namespace"), f"the namespace {m.namespace} is not among the manifests{hint}")
