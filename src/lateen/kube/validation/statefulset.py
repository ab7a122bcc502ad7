"""StatefulSet."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, at_most_all, count_or_percent, metadata, non_negative, one_of
from lateen.kube.validation.errors import forbidden, invalid
from lateen.kube.validation.workloads import selected_template

_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_LISTED = ", ".join(f"'{name}'" for name in _MUTABLE[:-1]) + f" and '{_MUTABLE[-1]}'"


def stateful_set(obj: Object, old: Object | None) -> Errors:
    """StatefulSet; its name becomes the pods' host names."""
    yield from metadata(obj, names.dns_label)
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    yield from non_negative(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from one_of(spec, "podManagementPolicy", "spec", ("OrderedReady", "Parallel"))
    yield from one_of(spec.get("updateStrategy") or {}, "type", "spec.updateStrategy", ("OnDelete", "RollingUpdate"))
    yield from _rolling((spec.get("updateStrategy") or {}).get("rollingUpdate") or {})
    yield from non_negative(spec.get("ordinals") or {}, "spec.ordinals", "start")
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        yield from one_of(retention, name, "spec.persistentVolumeClaimRetentionPolicy", ("Retain", "Delete"), need=False)
    yield from selected_template(_with_claims(spec), "statefulset")
    if old is not None and _fixed(spec) != _fixed(old.get("spec") or {}):
        yield forbidden("spec", f"updates to statefulset spec for fields other than {_LISTED} are forbidden")


def _rolling(rolling: Object) -> Errors:
    at = "spec.updateStrategy.rollingUpdate"
    yield from non_negative(rolling, at, "partition")
    if (value := rolling.get("maxUnavailable")) is not None:
        yield from count_or_percent(value, f"{at}.maxUnavailable")
        yield from at_most_all(value, f"{at}.maxUnavailable")
        if value in (0, "0%"):
            yield invalid(f"{at}.maxUnavailable", value, "cannot be 0")


def _with_claims(spec: Object) -> Object:
    """With a volume for each claim template, as pods will have it: containers may mount them."""
    template = spec.get("template") or {}
    pod, claims = (
        template.get("spec") or {},
        [(t.get("metadata") or {}).get("name", "") for t in spec.get("volumeClaimTemplates") or ()],
    )
    if not claims:
        return spec
    kept = [v for v in pod.get("volumes") or () if v.get("name") not in claims]
    made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": [*kept, *made]}}}


def _fixed(spec: Object) -> Object:
    return {k: v for k, v in spec.items() if k not in _MUTABLE}
