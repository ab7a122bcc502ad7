"""Deployment (pkg/apis/apps/validation)."""

from __future__ import annotations

from typing import Any

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, at_most_all, count_or_percent, metadata, non_negative, one_of, unchanged
from lateen.kube.validation.errors import forbidden, invalid
from lateen.kube.validation.workloads import selected_template


def deployment(obj: Object, old: Object | None) -> Errors:
    """Deployment."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    yield from non_negative(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    yield from _strategy(spec.get("strategy") or {})
    yield from selected_template(spec, "deployment")
    if old is not None:
        yield from unchanged(spec.get("selector"), (old.get("spec") or {}).get("selector"), "spec.selector")


def _strategy(strategy: Object) -> Errors:
    yield from one_of(strategy, "type", "spec.strategy", ("Recreate", "RollingUpdate"))
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        yield forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif rolling is not None:
        yield from rolling_update(rolling, "spec.strategy.rollingUpdate")


def rolling_update(rolling: Object, at: str) -> Errors:
    """``maxSurge`` and ``maxUnavailable``, of a DaemonSet too."""
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    wrong = [*count_or_percent(unavailable, f"{at}.maxUnavailable"), *count_or_percent(surge, f"{at}.maxSurge")]
    yield from wrong
    if not wrong and _zero(unavailable) and _zero(surge):
        yield invalid(f"{at}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from at_most_all(unavailable, f"{at}.maxUnavailable")


def _zero(value: Any) -> bool:
    return str(value).rstrip("%").strip("0") == ""
