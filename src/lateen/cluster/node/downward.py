"""The downward API: what a pod may learn of itself, for environment variables and files. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from lateen.errors import FailedError
from lateen.kube import quantity
from lateen.kube.meta import Object, meta

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def field_value(pod: Object, path: str) -> str:
    """The value of a fieldRef. FailedError for a path that is none."""
    m, spec, status = meta(pod), pod.get("spec") or {}, pod.get("status") or {}
    simple = {
        "metadata.name": m.get("name"),
        "metadata.namespace": m.get("namespace"),
        "metadata.uid": m.get("uid"),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.podIP": status.get("podIP"),
        "status.hostIP": status.get("hostIP"),
        "status.podIPs": ",".join(p["ip"] for p in status.get("podIPs") or ()),
        "status.hostIPs": ",".join(p["ip"] for p in status.get("hostIPs") or ()),
    }
    if path in simple:
        return str(simple[path] or "")
    if found := _SUBSCRIPT.fullmatch(path):
        return str((m.get(found[1]) or {}).get(found[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = m.get(path.partition(".")[2]) or {}
        return "\n".join(f"{k}={_quoted(v)}" for k, v in sorted(entries.items()))
    raise FailedError(f"field {path!r} is not known to the downward API")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def resource_value(pod: Object, container: Mapping[str, Any], ref: Mapping[str, Any], allocatable: Mapping[str, str]) -> str:
    """The value of a resourceFieldRef in units of its divisor, rounded up. A limit that is not set is the node's allocatable."""
    spec = pod.get("spec") or {}
    named = ref.get("containerName")
    every = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    target = next((c for c in every if c["name"] == named), container) if named else container
    kind, _, resource = ref["resource"].partition(".")
    resources = target.get("resources") or {}
    text = (resources.get(kind) or {}).get(resource)
    if text is None:
        text = allocatable.get(resource, "0") if kind == "limits" else (resources.get("limits") or {}).get(resource, "0")
    divisor = ref.get("divisor") or "0"
    return str(math.ceil(quantity.parse(text) / (quantity.parse(divisor) or 1)))
