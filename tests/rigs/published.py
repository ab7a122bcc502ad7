"""The schemas that other projects publish for their kinds, and how strictly objects are held to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lateen.kube.meta import Object

PEERS = Path(__file__).parents[3] / "shared" / "reference" / "data"


def builtin(obj: Object) -> bool:
    """Whether Kubernetes itself has the kind."""
    group = obj["apiVersion"].rpartition("/")[0]
    return "." not in group or (group.endswith(".k8s.io") and not group.startswith(("gateway.", "autoscaling.")))


def strict(schema: Any) -> Any:
    """The schema with unknown fields refused wherever fields are listed."""
    if isinstance(schema, list):
        return [strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    result = {k: strict(v) for k, v in schema.items()}
    if "properties" in result and "additionalProperties" not in result and result.get("type") == "object":
        result["additionalProperties"] = False
    return result
