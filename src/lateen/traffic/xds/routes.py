"""Routes -> a RouteConfiguration: one small one per service port or gateway port.

Every rule becomes two Envoy routes when its method is open: safe methods (GET, HEAD, OPTIONS) may be sent again after a reset
or a gateway error, all others only when the request cannot have reached the application.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2

from lateen.traffic.ir import Backend, HeaderEdit, Match, PathChange, PathKind, Redirect, Route, Service, ValueMatch, VirtualHost
from lateen.traffic.xds.resource import Resource, extension, resource, seconds

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# No such cluster ever exists: Envoy answers what is sent to it with the status chosen below, 500.
BAD_BACKEND = "bad-backend"
_ALWAYS = "connect-failure,refused-stream,reset-before-request"
_SAFE = f"{_ALWAYS},reset,gateway-error"
_PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
_APPEND, _OVERWRITE = "APPEND_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS_OR_ADD"
_REDIRECTS = {301: "MOVED_PERMANENTLY", 302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT", 308: "PERMANENT_REDIRECT"}


def forwarding(name: str, cluster: str, *, sticky: bool = False) -> Resource:
    """Everything goes to one cluster: a service port without rules."""
    action: dict[str, Any] = {"cluster": cluster}
    if sticky:
        action["hash_policy"] = [{"connection_properties": {"source_ip": True}}]
    routes = list(_both({"prefix": "/"}, action, "", {}))
    host = {"name": "all", "domains": ["*"], "routes": routes}
    return resource(name, route_pb2.RouteConfiguration(name=name, virtual_hosts=[host]), frozenset((cluster,)))


def health(name: str, service: Service) -> Resource:
    """What load balancers are told, in kube-proxy's words: 503 while nothing is ready."""
    said = {
        "service": {"namespace": service.key.namespace, "name": service.key.name},
        "localEndpoints": service.ready,
        "serviceProxyHealthy": True,
    }
    answer = {"status": 200 if service.ready else 503, "body": {"inline_string": orjson.dumps(said).decode()}}
    headers = {"Content-Type": "application/json", "X-Load-Balancing-Endpoint-Weight": str(service.ready)}
    route = route_components_pb2.Route(
        match={"prefix": "/"},
        direct_response=answer,
        response_headers_to_add=[_header(n, v, _OVERWRITE) for n, v in headers.items()],
    )
    return resource(
        name, route_pb2.RouteConfiguration(name=name, virtual_hosts=[{"name": "all", "domains": ["*"], "routes": [route]}])
    )


def routing(name: str, hosts: Sequence[VirtualHost]) -> Resource:
    """Virtual hosts with their rules."""
    needs = frozenset(str(t) for h in hosts for r in h.routes for t in r.targets())
    message = route_pb2.RouteConfiguration(name=name, virtual_hosts=[_host(h) for h in hosts], ignore_port_in_host_matching=True)
    return resource(name, message, needs)


def _host(host: VirtualHost) -> dict[str, Any]:
    routes = [r for route in host.routes for r in _route(route)]
    return {"name": host.hostname, "domains": [host.hostname], "routes": routes}


def _route(route: Route) -> Iterator[Any]:
    match = _match(route.match)
    common = {**_headers("request", route.request), **_headers("response", route.response)}
    if route.redirect is not None:
        yield route_components_pb2.Route(match=match, redirect=_redirect(route.redirect, route.match), **common)
    elif not any(b.weight for b in route.backends) or all(b.port is None for b in route.backends if b.weight):
        yield route_components_pb2.Route(match=match, direct_response={"status": 500}, **common)
    else:
        yield from _both(match, _action(route), route.match.method, common, route.timeouts.backend)


def _both(
    match: dict[str, Any], action: dict[str, Any], method: str, common: dict[str, Any], each_try: float | None = None
) -> Iterator[Any]:
    """The route for safe methods and the one for all others, or the one that ``method`` asks for."""
    if method in ("", *SAFE_METHODS):
        narrowed = match if method else {**match, "headers": [*match.get("headers", ()), _safe_methods()]}
        yield route_components_pb2.Route(match=narrowed, route=action | {"retry_policy": _retry(_SAFE, each_try)}, **common)
    if method not in SAFE_METHODS:
        yield route_components_pb2.Route(match=match, route=action | {"retry_policy": _retry(_ALWAYS, each_try)}, **common)


def _safe_methods() -> dict[str, Any]:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(SAFE_METHODS)}}}


def _retry(on: str, each_try: float | None) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "retry_on": on,
        "num_retries": {"value": 2},
        "retry_host_predicate": [extension(_PREVIOUS_HOSTS, previous_hosts_pb2.PreviousHostsPredicate())],
        "host_selection_retry_max_attempts": 5,
        "retry_back_off": {"base_interval": seconds(0.01), "max_interval": seconds(0.1)},
    }
    if each_try:
        policy["per_try_timeout"] = seconds(each_try)
    return policy


def _match(match: Match) -> dict[str, Any]:
    headers = [_header_match(h) for h in match.headers]
    if match.method:
        headers.append({"name": ":method", "string_match": {"exact": match.method}})
    result: dict[str, Any] = _path_match(match)
    if headers:
        result["headers"] = headers
    if match.query:
        result["query_parameters"] = [{"name": q.name, "string_match": _string(q)} for q in match.query]
    return result


def _path_match(match: Match) -> dict[str, Any]:
    if match.path_kind is PathKind.EXACT:
        return {"path": match.path}
    if match.path_kind is PathKind.REGEX:
        return {"safe_regex": {"regex": match.path}}
    prefix = match.path.rstrip("/")
    return {"path_separated_prefix": prefix} if prefix else {"prefix": "/"}


def _header_match(match: ValueMatch) -> dict[str, Any]:
    return {"name": match.name, "string_match": _string(match)}


def _string(match: ValueMatch) -> dict[str, Any]:
    return {"safe_regex": {"regex": match.value}} if match.regex else {"exact": match.value}


def _action(route: Route) -> dict[str, Any]:
    action = _target(route.backends)
    # No timeout unless the route asks for one: Envoy's default of 15 s would cut what a Service never cut.
    action["timeout"] = seconds(route.timeouts.request or 0)
    if route.rewrite_host:
        action["host_rewrite_literal"] = route.rewrite_host
    if route.rewrite_path is not None:
        action |= _rewrite(route.rewrite_path, route.match)
    if route.mirrors:
        action["request_mirror_policies"] = [
            {
                "cluster": str(m.backend),
                "runtime_fraction": {"default_value": _fraction(m.numerator, m.denominator)},
            }
            for m in route.mirrors
        ]
    return action


def _fraction(numerator: int, denominator: int) -> dict[str, Any]:
    return {"numerator": numerator * 1_000_000 // denominator, "denominator": "MILLION"}


def _target(backends: Iterable[Backend]) -> dict[str, Any]:
    alive = [b for b in backends if b.weight]
    first = alive[0]
    if len(alive) == 1 and first.port is not None and first.request == first.response == HeaderEdit():
        return {"cluster": str(first.port)}
    return {
        "weighted_clusters": {"clusters": [_weighted(b) for b in alive]},
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
    }


def _weighted(backend: Backend) -> dict[str, Any]:
    return {
        "name": str(backend.port) if backend.port else BAD_BACKEND,
        "weight": {"value": backend.weight},
        **_headers("request", backend.request),
        **_headers("response", backend.response),
    }


def _headers(side: str, edit: HeaderEdit) -> dict[str, Any]:
    put = [_header(n, v, _OVERWRITE) for n, v in edit.set] + [_header(n, v, _APPEND) for n, v in edit.add]
    result: dict[str, Any] = {f"{side}_headers_to_add": put} if put else {}
    if edit.remove:
        result[f"{side}_headers_to_remove"] = list(edit.remove)
    return result


def _header(name: str, value: str, action: str) -> dict[str, Any]:
    # Envoy expands %...% in values; the Gateway API means them literally.
    return {"header": {"key": name, "value": value.replace("%", "%%")}, "append_action": action}


def _redirect(redirect: Redirect, match: Match) -> dict[str, Any]:
    action: dict[str, Any] = {"response_code": _REDIRECTS[redirect.code]}
    if redirect.scheme:
        action["scheme_redirect"] = redirect.scheme
    if redirect.host:
        action["host_redirect"] = redirect.host
    if redirect.port is not None:
        action["port_redirect"] = redirect.port
    if redirect.path is not None:
        change = redirect.path
        action |= _prefix_change(change, match) if change.prefix else {"path_redirect": change.value}
    return action


def _rewrite(change: PathChange, match: Match) -> dict[str, Any]:
    if change.prefix:
        return _prefix_change(change, match)
    return {"regex_rewrite": _substitution("^/[^?]*$", change.value)}


def _prefix_change(change: PathChange, match: Match) -> dict[str, Any]:
    """Replace the matched prefix by whole path elements: /a/b by /x keeps one slash between, whatever either ends with."""
    prefix, value = match.path.rstrip("/"), change.value.rstrip("/")
    if prefix and value:
        return {"prefix_rewrite": value}
    if not prefix:
        return {"regex_rewrite": _substitution("^/", f"{value}/")}
    return {"regex_rewrite": _substitution(f"^{re.escape(prefix)}/*", "/")}


def _substitution(pattern: str, value: str) -> dict[str, Any]:
    return {"pattern": {"regex": pattern}, "substitution": value.replace("\\", "\\\\")}
