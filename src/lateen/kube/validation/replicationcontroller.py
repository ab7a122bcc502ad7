"""ReplicationController: its selector is a plain map of labels."""

from __future__ import annotations

from lateen.kube import names
from lateen.kube.meta import Object
from lateen.kube.validation.base import Errors, label_map, metadata, non_negative
from lateen.kube.validation.errors import invalid, required
from lateen.kube.validation.pod import template


def replication_controller(obj: Object, old: Object | None) -> Errors:
    """ReplicationController."""
    yield from metadata(obj, names.dns_subdomain)
    spec = obj.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return
    yield from non_negative(spec, "spec", "replicas", "minReadySeconds")
    selector = spec.get("selector") or {}
    yield from label_map(selector, "spec.selector")
    if not selector:
        yield required("spec.selector")
    if spec.get("template") is None:
        yield required("spec.template")
        return
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if not selector.items() <= labels.items():
        yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from template(spec["template"], "spec.template", restart=("Always",))
