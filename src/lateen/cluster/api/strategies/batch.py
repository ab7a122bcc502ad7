"""Job: unless ``manualSelector`` is set, its pods are found by labels that the server makes of its uid."""

from __future__ import annotations

from lateen.cluster.api import statuses
from lateen.cluster.api.call import Backend, Call
from lateen.cluster.api.strategies.base import Strategy
from lateen.kube.meta import Object
from lateen.kube.validation.errors import invalid

PREFIX = "batch.kubernetes.io/"


def _new_job(backend: Backend, call: Call, new: Object) -> None:
    spec = new.setdefault("spec", {})
    if spec.get("manualSelector"):
        return
    uid, name = new["metadata"]["uid"], new["metadata"]["name"]
    if spec.get("selector"):
        raise statuses.invalid_fields(
            call.served.resource, name, [invalid("spec.selector", spec["selector"], "`selector` not auto-generated")]
        )
    metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    generated = {"controller-uid": uid, PREFIX + "controller-uid": uid, "job-name": name, PREFIX + "job-name": name}
    metadata["labels"] = {**(metadata.get("labels") or {}), **generated}
    spec["selector"] = {"matchLabels": {PREFIX + "controller-uid": uid}}


STRATEGIES = {"batch/jobs": Strategy(create=_new_job)}
