"""ReplicaSet."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, metadata, non_negative, unchanged
from lateen.kube.validation.workloads import selected_template


def replica_set(obj: Object, old: Object | None) -> Errors:
    """ReplicaSet."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    yield from non_negative(spec, "spec", "replicas", "minReadySeconds")
    yield from selected_template(spec, "deployment")
    if old is not None:
        yield from unchanged(spec.get("selector"), (old.get("spec") or {}).get("selector"), "spec.selector")
