"""What the manifests at hand usually do. A missing field that others set is a slip; one that nobody sets is a choice (advice).

Used by checks whose absence everybody knows and few treat: that keeps them quiet where they would only repeat themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from lateen.check.finding import Hit, Severity
from lateen.check.manifest import Path
from lateen.check.workload import Container, Workload
from lateen.check.world import World
from lateen.kube import podsecurity

T = TypeVar("T")


def usual(items: Sequence[T], has: Callable[[T], bool], *, share: float = 0.5) -> bool:
    """Whether at least ``share`` of the items (and two of them) have it."""
    count = sum(1 for item in items if has(item))
    return count >= 2 and count >= share * len(items)


def hardened(container: Container) -> bool:
    """Whether somebody began to restrict this container, or its pod."""
    context = container.workload.pod.get("securityContext") or {}
    return any(
        key in data
        for data in (container.security, context)
        for key in (
            "allowPrivilegeEscalation",
            "runAsNonRoot",
            "runAsUser",
            "capabilities",
            "seccompProfile",
            "readOnlyRootFilesystem",
        )
    )


def slip(container: Container) -> Severity:
    """The severity of one missing restriction: advice where nothing is restricted (LT-SEC-014 says that once)."""
    return Severity.WARNING if hardened(container) else Severity.INFO


def standards(world: World, *controls: str) -> Iterator[tuple[Workload, Path, str]]:
    """(workload, path, what) of each place that breaks one of these controls of the restricted standard."""
    for workload in world.workloads:
        for violation in _violations(world, workload):
            if violation.control in controls:
                for path, what in violation.spots:
                    yield workload, (*workload.base, *path), what


def container_at(workload: Workload, path: Path) -> Container | None:
    """The container that ``path`` lies in."""
    return next((c for c in workload.containers if path[: len(c.path)] == c.path), None)


def who(workload: Workload, path: Path) -> str:
    """``container "web"`` or ``the pod``: whose field ``path`` is."""
    found = container_at(workload, path)
    return f'container "{found.name}"' if found else "the pod"


def _violations(world: World, workload: Workload) -> list[podsecurity.Violation]:
    cache = world.__dict__.setdefault("_standards", {})
    key = id(workload)
    if key not in cache:
        cache[key] = _judged(workload)
    found: list[podsecurity.Violation] = cache[key]
    return found


def _judged(workload: Workload) -> list[podsecurity.Violation]:
    try:
        return podsecurity.evaluate("restricted", workload.pod, workload.annotations)
    except (AttributeError, TypeError, ValueError):  # a malformed pod: the schema check says so
        return []


def on(container: Container, *steps: str | int, say: str, severity: Severity | None = None) -> Hit:
    """A hit at a field of a container, whose message starts with its name."""
    path = (*container.path, *steps)
    return Hit(container.workload.manifest, path, f'container "{container.name}" {say}', severity)
