"""HTTPRoute and GRPCRoute."""

from __future__ import annotations

from lateen.traffic.crds.common import (
    BACKEND_FIELDS,
    DURATION,
    HEADER_MODIFIER,
    HEADER_NAME,
    HEADER_VALUE,
    HOSTNAMES,
    LOCAL_REFERENCE,
    MIRROR,
    PARENTS,
    PORT,
    PRECISE_HOSTNAME,
    ROUTE_STATUS,
    SECTION,
    WEIGHT,
)
from lateen.traffic.crds.schema import Schema, array, boolean, enum, integer, record, string

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_KINDS_OF_MATCH = enum("Exact", "RegularExpression", default="Exact")
_ORIGIN = r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)"

_PATH_CHANGE = record(
    {
        "replaceFullPath": string(most=1024),
        "replacePrefixMatch": string(most=1024),
        "type": enum("ReplaceFullPath", "ReplacePrefixMatch"),
    },
    "type",
)

_CORS = record(
    {
        "allowCredentials": boolean(),
        "allowHeaders": array(HEADER_NAME, 64, kind="set"),
        "allowMethods": array(enum(*_METHODS, "*"), 9, kind="set"),
        "allowOrigins": array(string(1, 253, _ORIGIN), 64, kind="set"),
        "exposeHeaders": array(HEADER_NAME, 64, kind="set"),
        "maxAge": integer(1, default=5),
    }
)

_HTTP_FILTER = record(
    {
        "cors": _CORS,
        "extensionRef": LOCAL_REFERENCE,
        "requestHeaderModifier": HEADER_MODIFIER,
        "requestMirror": MIRROR,
        "requestRedirect": record(
            {
                "hostname": PRECISE_HOSTNAME,
                "path": _PATH_CHANGE,
                "port": PORT,
                "scheme": enum("http", "https"),
                "statusCode": enum(301, 302, 303, 307, 308, kind="integer", default=302),
            }
        ),
        "responseHeaderModifier": HEADER_MODIFIER,
        "type": enum(
            "RequestHeaderModifier",
            "ResponseHeaderModifier",
            "RequestMirror",
            "RequestRedirect",
            "URLRewrite",
            "ExtensionRef",
            "CORS",
        ),
        "urlRewrite": record({"hostname": PRECISE_HOSTNAME, "path": _PATH_CHANGE}),
    },
    "type",
)

_GRPC_FILTER = record(
    {
        "extensionRef": LOCAL_REFERENCE,
        "requestHeaderModifier": HEADER_MODIFIER,
        "requestMirror": MIRROR,
        "responseHeaderModifier": HEADER_MODIFIER,
        "type": enum("ResponseHeaderModifier", "RequestHeaderModifier", "RequestMirror", "ExtensionRef"),
    },
    "type",
)


def _values(value: Schema) -> Schema:
    return array(record({"name": HEADER_NAME, "type": _KINDS_OF_MATCH, "value": value}, "name value"), 16, key="name")


def _backends(filters: Schema) -> Schema:
    return array(record({**BACKEND_FIELDS, "filters": array(filters, 16), "weight": WEIGHT}, "name"), 16)


_ANY_PATH = {"type": "PathPrefix", "value": "/"}
_HTTP_MATCH = record(
    {
        "headers": _values(HEADER_VALUE),
        "method": enum(*_METHODS),
        "path": record(
            {
                "type": enum("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
                "value": string(most=1024, default="/"),
            },
            default=_ANY_PATH,
        ),
        "queryParams": _values(string(1, 1024)),
    }
)

_GRPC_MATCH = record(
    {
        "headers": _values(string(1, 4096)),
        "method": record({"method": string(most=1024), "service": string(most=1024), "type": _KINDS_OF_MATCH}),
    }
)

_HTTP_RULE = record(
    {
        "backendRefs": _backends(_HTTP_FILTER),
        "filters": array(_HTTP_FILTER, 16),
        "matches": array(_HTTP_MATCH, 64, default=[{"path": _ANY_PATH}]),
        "name": SECTION,
        "timeouts": record({"backendRequest": DURATION, "request": DURATION}),
    }
)

_GRPC_RULE = record(
    {
        "backendRefs": _backends(_GRPC_FILTER),
        "filters": array(_GRPC_FILTER, 16),
        "matches": array(_GRPC_MATCH, 64),
        "name": SECTION,
    }
)


def _route(rules: Schema) -> Schema:
    return record(
        {
            "spec": record({"hostnames": HOSTNAMES, "parentRefs": PARENTS, "rules": rules}),
            "status": ROUTE_STATUS,
        },
        "spec",
    )


HTTP_ROUTE = _route(array(_HTTP_RULE, 16, minItems=1, default=[{"matches": [{"path": _ANY_PATH}]}]))
GRPC_ROUTE = _route(array(_GRPC_RULE, 16))
