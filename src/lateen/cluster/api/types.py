"""The type of what a resource holds, as a walkable tree: of built-in kinds from ``kube.schemas``, of custom ones from their CRD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lateen.cluster.api.registry import Served
from lateen.kube.schemas import SchemaNode, from_openapi, type_of

_custom: dict[int, tuple[Mapping[str, Any], SchemaNode]] = {}


def type_node(served: Served) -> SchemaNode | None:
    """The tree of the resource's kind; None where there is no schema."""
    resource = served.resource
    if not served.custom:
        return type_of(resource.group, resource.version, resource.kind)
    if served.schema is None:
        return None
    known = _custom.get(id(served.schema))
    if known is None or known[0] is not served.schema:
        known = _custom[id(served.schema)] = (served.schema, from_openapi(served.schema))
    return known[1]
