"""PodDisruptionBudget."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, at_most_all, count_or_percent, label_selector, metadata, one_of
from lateen.kube.validation.errors import invalid

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def disruption_budget(obj: Object, old: Object | None) -> Errors:
    """PodDisruptionBudget."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    given = [name for name in ("minAvailable", "maxUnavailable") if spec.get(name) is not None]
    if len(given) == 2:
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for name in given:
        yield from count_or_percent(spec[name], f"spec.{name}")
        yield from at_most_all(spec[name], f"spec.{name}")
    yield from label_selector(spec.get("selector"), "spec.selector")
    yield from one_of(spec, "unhealthyPodEvictionPolicy", "spec", _POLICIES, need=False)
