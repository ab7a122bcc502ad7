"""A GRPCRoute written as an HTTPRoute: a call is a POST to ``/service/method``. Everything else of the two kinds is the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lateen.kube.meta import Object

_ANY: tuple[dict[str, Any], ...] = ({},)


def as_http(route: Object) -> Object:
    """The route with its matches as paths. Pure; the given object is not changed."""
    spec = route["spec"]
    return {**route, "spec": {**spec, "rules": [_rule(r) for r in spec.get("rules") or _ANY]}}


def _rule(rule: Mapping[str, Any]) -> Object:
    return {**rule, "matches": [_match(m) for m in rule.get("matches") or _ANY]}


def _match(match: Mapping[str, Any]) -> Object:
    headers = {"headers": match["headers"]} if match.get("headers") else {}
    return {"path": _path(match.get("method") or {}), **headers}


def _path(method: Mapping[str, Any]) -> dict[str, str]:
    service, name = method.get("service") or "", method.get("method") or ""
    if method.get("type") == "RegularExpression":
        return {"type": "RegularExpression", "value": f"/{service or '[^/]+'}/{name or '[^/]+'}"}
    if service and name:
        return {"type": "Exact", "value": f"/{service}/{name}"}
    if service:
        return {"type": "PathPrefix", "value": f"/{service}"}
    if name:
        return {"type": "RegularExpression", "value": f"/[^/]+/{re.escape(name)}"}
    return {"type": "PathPrefix", "value": "/"}
