"""Core kinds that are neither workload, network nor storage, and CustomResourceDefinition."""

from __future__ import annotations

import base64

from lateen.kube.defaults.base import Rule, amounts, fill, items, part
from lateen.kube.defaults.pods import pod
from lateen.kube.meta import Object


def secret(obj: Object) -> None:
    """Secret; ``stringData`` is a way to write ``data`` and is never read."""
    fill(obj, type="Opaque")
    texts = obj.pop("stringData", None)
    if texts:
        encoded = {k: base64.b64encode(str(v or "").encode()).decode() for k, v in texts.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def node(obj: Object) -> None:
    """Node: amounts in canonical form, and allocatable is the capacity unless said."""
    status = part(obj, "status")
    amounts(status.get("capacity"))
    if status.get("allocatable") is None and status.get("capacity"):
        status["allocatable"] = dict(status["capacity"])
    amounts(status.get("allocatable"))


def custom_resource_definition(obj: Object) -> None:
    """CustomResourceDefinition (apiextensions/v1/defaults.go)."""
    spec = part(obj, "spec")
    names = part(spec, "names")
    kind = str(names.get("kind") or "")
    if kind:
        fill(names, singular=kind.lower(), listKind=f"{kind}List")
    fill(part(spec, "conversion"), strategy="None")


def limit_range(obj: Object) -> None:
    """LimitRange: of a container's limits, the default follows the most, the default request the default, then the least."""
    for item in items(part(obj, "spec"), "limits"):
        for name in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            amounts(item.get(name))
        if item.get("type") == "Container":
            default = {**(item.get("max") or {}), **(item.get("default") or {})}
            request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
            item.update({k: v for k, v in (("default", default), ("defaultRequest", request)) if v})


RULES: dict[tuple[str, str], Rule] = {
    ("", "Pod"): pod,
    ("", "Secret"): secret,
    ("", "Node"): node,
    ("", "LimitRange"): limit_range,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): custom_resource_definition,
}
