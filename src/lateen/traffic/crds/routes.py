"""HTTPRoute and GRPCRoute."""

from __future__ import annotations

from lateen.traffic.crds.common import (
    BACKEND_FIELDS,
    DURATION,
    HAS_PORT,
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
from lateen.traffic.crds.schema import Schema, array, boolean, checked, enum, integer, record, string

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_KINDS_OF_MATCH = enum("Exact", "RegularExpression", default="Exact")
_ORIGIN = r"(^\*$)|(^(http(s)?):\/\/(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)$)"


def _belongs(field: str, kind: str) -> tuple[str, str]:
    return f"has(self.{field}) == (self.type == '{kind}')", f"{field} must be there for type {kind}, and only then"


_PATH_CHANGE = checked(
    record(
        {
            "replaceFullPath": string(most=1024),
            "replacePrefixMatch": string(most=1024),
            "type": enum("ReplaceFullPath", "ReplacePrefixMatch"),
        },
        "type",
    ),
    _belongs("replaceFullPath", "ReplaceFullPath"),
    _belongs("replacePrefixMatch", "ReplacePrefixMatch"),
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

_HTTP_FILTER_FIELDS = record(
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

_GRPC_FILTER_FIELDS = record(
    {
        "extensionRef": LOCAL_REFERENCE,
        "requestHeaderModifier": HEADER_MODIFIER,
        "requestMirror": MIRROR,
        "responseHeaderModifier": HEADER_MODIFIER,
        "type": enum("ResponseHeaderModifier", "RequestHeaderModifier", "RequestMirror", "ExtensionRef"),
    },
    "type",
)

_COMMON_FILTERS = {
    "requestHeaderModifier": "RequestHeaderModifier",
    "responseHeaderModifier": "ResponseHeaderModifier",
    "requestMirror": "RequestMirror",
    "extensionRef": "ExtensionRef",
}
_HTTP_FILTERS = {**_COMMON_FILTERS, "cors": "CORS", "requestRedirect": "RequestRedirect", "urlRewrite": "URLRewrite"}
_ONCE = ("RequestHeaderModifier", "ResponseHeaderModifier")
_REDIRECT_OR_REWRITE = (
    "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
    "RequestRedirect and URLRewrite exclude each other",
)


def _once(*kinds: str) -> list[tuple[str, str]]:
    return [(f"self.filter(f, f.type == '{k}').size() <= 1", f"{k} may be there once") for k in kinds]


_HTTP_FILTER = checked(_HTTP_FILTER_FIELDS, *(_belongs(f, k) for f, k in _HTTP_FILTERS.items()))
_GRPC_FILTER = checked(_GRPC_FILTER_FIELDS, *(_belongs(f, k) for f, k in _COMMON_FILTERS.items()))
_HTTP_FILTER_LIST = checked(array(_HTTP_FILTER, 16), _REDIRECT_OR_REWRITE, *_once(*_ONCE, "RequestRedirect", "URLRewrite", "CORS"))
_GRPC_FILTER_LIST = checked(array(_GRPC_FILTER, 16), *_once(*_ONCE))


def _values(value: Schema) -> Schema:
    return array(record({"name": HEADER_NAME, "type": _KINDS_OF_MATCH, "value": value}, "name value"), 16, key="name")


def _backends(filters: Schema) -> Schema:
    return array(checked(record({**BACKEND_FIELDS, "filters": filters, "weight": WEIGHT}, "name"), HAS_PORT), 16)


_PATH_RULES = [
    (f"self.type == 'RegularExpression' || !self.value.contains('{part}')", f"the path must not contain {part}")
    for part in ("//", "/./", "/../", "%2f", "%2F", "#")
]
_PREFIX_CHANGE = (
    "!has(self.filters) || !self.filters.exists(f, has(f.{0}) && has(f.{0}.path) && has(f.{0}.path.replacePrefixMatch))"
    " || (self.matches.size() == 1 && has(self.matches[0].path) && self.matches[0].path.type == 'PathPrefix')"
)
_RULE_RULES = (
    (
        (
            "!has(self.backendRefs) || self.backendRefs.size() == 0 || !has(self.filters)"
            " || !self.filters.exists(f, has(f.requestRedirect))"
        ),
        "RequestRedirect and backendRefs exclude each other",
    ),
    (_PREFIX_CHANGE.format("requestRedirect"), "replacePrefixMatch needs exactly one match, of type PathPrefix"),
    (_PREFIX_CHANGE.format("urlRewrite"), "replacePrefixMatch needs exactly one match, of type PathPrefix"),
)
_ANY_PATH = {"type": "PathPrefix", "value": "/"}
_HTTP_MATCH = record(
    {
        "headers": _values(HEADER_VALUE),
        "method": enum(*_METHODS),
        "path": checked(
            record(
                {
                    "type": enum("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
                    "value": string(most=1024, default="/"),
                },
                default=_ANY_PATH,
            ),
            ("self.type == 'RegularExpression' || self.value.startsWith('/')", "the path must start with /"),
            *_PATH_RULES,
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

_HTTP_RULE = checked(
    record(
        {
            "backendRefs": _backends(_HTTP_FILTER_LIST),
            "filters": _HTTP_FILTER_LIST,
            "matches": array(_HTTP_MATCH, 64, default=[{"path": _ANY_PATH}]),
            "name": SECTION,
            "timeouts": checked(
                record({"backendRequest": DURATION, "request": DURATION}),
                (
                    (
                        "!has(self.request) || !has(self.backendRequest) || duration(self.request) == duration('0s')"
                        " || duration(self.backendRequest) <= duration(self.request)"
                    ),
                    "backendRequest must not be longer than request",
                ),
            ),
        }
    ),
    *_RULE_RULES,
)

_GRPC_RULE = record(
    {
        "backendRefs": _backends(_GRPC_FILTER_LIST),
        "filters": _GRPC_FILTER_LIST,
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
