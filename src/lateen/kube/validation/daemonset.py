"""DaemonSet."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, metadata, non_negative, one_of, unchanged
from lateen.kube.validation.deployment import rolling_update
from lateen.kube.validation.workloads import selected_template


def daemon_set(obj: Object, old: Object | None) -> Errors:
    """DaemonSet."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    yield from non_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    yield from one_of(spec.get("updateStrategy") or {}, "type", "spec.updateStrategy", ("OnDelete", "RollingUpdate"))
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate")
    if rolling is not None:
        yield from rolling_update(rolling, "spec.updateStrategy.rollingUpdate")
    yield from selected_template(spec, "daemonset")
    if old is not None:
        yield from unchanged(spec.get("selector"), (old.get("spec") or {}).get("selector"), "spec.selector")
