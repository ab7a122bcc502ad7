"""The bridge from kubectl's client-side apply to server-side apply: the annotation in which it kept what it applied.

What kubectl said there, and nobody changed since, is kubectl's own: applying it anew on the server side is no conflict. The
annotation follows what is applied, so that the way back works too. Other managers opt out of both by their name.
"""

from __future__ import annotations

from typing import Any

import orjson

from lateen.kube.managedfields.compare import compare
from lateen.kube.managedfields.fieldset import Fields, difference, fields_of
from lateen.kube.meta import Object, annotations_of
from lateen.kube.schemas import SchemaNode

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl"
_MOST = 256 * 1024  # of annotations in all; Kubernetes then drops this one


def said_before(node: SchemaNode, live: Object) -> Fields:
    """The fields of the annotation whose values still stand in ``live``."""
    try:
        before: Any = orjson.loads(annotations_of(live).get(ANNOTATION) or "null")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(before, dict) or before.get("apiVersion") != live.get("apiVersion"):
        return {}
    result = fields_of(node, before, containers=False)
    for changed in compare(node, before, live):
        result = difference(result, changed)
    return result


def keep_up(merged: Object, config: Object) -> None:
    """Write ``config`` into the annotation of ``merged`` (in place), if it has one."""
    annotations = annotations_of(merged)
    if ANNOTATION not in annotations:
        return
    given = annotations_of(config)
    metadata = {**config["metadata"], "annotations": {k: v for k, v in given.items() if k != ANNOTATION}}
    text = orjson.dumps({**config, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    if len(text) + sum(len(k) + len(v) for k, v in annotations.items() if k != ANNOTATION) > _MOST:
        del annotations[ANNOTATION]
    else:
        annotations[ANNOTATION] = text
