"""ControllerRevisions: the history of a template. Pure; shared by StatefulSets and DaemonSets, whose rollbacks are old versions.

A revision's data is the patch that brings its template back, as ``kubectl rollout undo`` applies it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson

from lateen.cluster.controllers.kit import spec_of, status_of
from lateen.kube.meta import Object, edit, key_of, labels_of, meta, owner_reference
from lateen.kube.names import safe_encode

HASH = "controller.kubernetes.io/hash"
LABEL = "controller-revision-hash"


def data_of(owner: Object) -> dict[str, Any]:
    """What a revision of the owner's present template holds."""
    return {"spec": {"template": {**edit(spec_of(owner)["template"]), "$patch": "replace"}}}


def new_revision(owner: Object, number: int) -> Object:
    """The ControllerRevision of the owner's present template."""
    data, name = data_of(owner), meta(owner)["name"]
    text = orjson.dumps(data, option=orjson.OPT_SORT_KEYS) + str(status_of(owner).get("collisionCount") or "").encode()
    digest = safe_encode(hashlib.sha256(text).digest())
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name[:223]}-{digest}",
            "namespace": key_of(owner).namespace,
            "labels": {**(meta(spec_of(owner)["template"]).get("labels") or {}), HASH: digest},
            "ownerReferences": [owner_reference(owner)],
        },
        "data": data,
        "revision": number,
    }


def in_order(revisions: Iterable[Object]) -> list[Object]:
    """Oldest first."""
    return sorted(revisions, key=lambda r: (r["revision"], meta(r).get("creationTimestamp") or "", meta(r)["name"]))


def equal_to(revisions: Iterable[Object], owner: Object) -> Object | None:
    """The newest revision that holds the owner's present template."""
    data = data_of(owner)
    return next((r for r in reversed(in_order(revisions)) if r["data"] == data), None)


def beyond_history(revisions: Sequence[Object], live: Collection[str], limit: int) -> list[Object]:
    """The oldest revisions that nobody uses (``live`` are names in use), beyond ``limit`` of them."""
    idle = [r for r in in_order(revisions) if meta(r)["name"] not in live]
    return idle[: max(0, len(idle) - limit)]


def with_template(owner: Object, revision: Object) -> Object:
    """The owner as it was at ``revision``."""
    template = {k: v for k, v in revision["data"]["spec"]["template"].items() if k != "$patch"}
    return {**owner, "spec": {**spec_of(owner), "template": template}}


def revision_label(pod: Object) -> str:
    """The name (StatefulSet) or hash (DaemonSet) of the revision that a pod was made from."""
    return labels_of(pod).get(LABEL, "")
