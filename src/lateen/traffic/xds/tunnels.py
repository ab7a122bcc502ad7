"""How datagrams from the machine get into a cluster with a network of its own: as capsules in a stream (CONNECT-UDP, RFC 9298) that
the border opens over a Unix socket for each client, and that the proxy inside takes apart again.

Used by ``border`` (the entrance) and ``listeners`` (the exit). Datagrams cannot cross on their own: a Unix socket carries no UDP.
"""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.udp.udp_proxy.session.http_capsule.v3 import http_capsule_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from lateen.traffic.xds.resource import ADS, Resource, extension, resource, seconds

_UPGRADE, _CLIENT = "CONNECT-UDP", "x-lateen-client"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HCM, _ROUTER = "envoy.filters.network.http_connection_manager", "envoy.filters.http.router"
_CAPSULES = "envoy.filters.udp.session.http_capsule"
_UNLIMITED = {"value": 1 << 30}


def entrance() -> dict[str, Any]:
    """What the border's UDP proxy needs beside its cluster. The names are never looked up: the socket decides where it goes."""
    return {
        "session_filters": [extension(_CAPSULES, http_capsule_pb2.FilterConfig())],
        "tunneling_config": {
            "proxy_host": "inside.lateen.dev",
            "target_host": "service.lateen.dev",
            "default_target_port": 1,
            "retry_options": {"max_connect_attempts": {"value": 2}},
            "buffer_options": {"max_buffered_datagrams": {"value": 1024}, "max_buffered_bytes": {"value": 1 << 20}},
            "headers_to_add": [{"header": {"key": _CLIENT, "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}],
        },
    }


def way(name: str) -> Resource:
    """The border's cluster: one connection carries many clients."""
    options = http_protocol_options_pb2.HttpProtocolOptions(
        explicit_http_config={"http2_protocol_options": {"allow_connect": True}}
    )
    message = cluster_pb2.Cluster(
        name=name,
        type="EDS",
        eds_cluster_config={"eds_config": ADS},
        connect_timeout=seconds(1),
        circuit_breakers={"thresholds": [dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), _UNLIMITED)]},
    )
    message.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(extension("", options)["typed_config"])
    return resource(name, message)


def exit_of(name: str, cluster: str, *, sticky: bool) -> dict[str, Any]:
    """The filter inside: streams become datagrams to ``cluster`` again."""
    route: dict[str, Any] = {
        "cluster": cluster,
        "timeout": seconds(0),
        "upgrade_configs": [{"upgrade_type": _UPGRADE, "connect_config": {}}],
    }
    if sticky:
        route["hash_policy"] = [{"header": {"header_name": _CLIENT}}]
    host = {"name": "all", "domains": ["*"], "routes": [{"match": {"connect_matcher": {}}, "route": route}]}
    manager = http_connection_manager_pb2.HttpConnectionManager(
        stat_prefix=name,
        codec_type="HTTP2",
        route_config={"name": name, "virtual_hosts": [host]},
        http_filters=[extension(_ROUTER, router_pb2.Router())],
        http2_protocol_options={"allow_connect": True},
        upgrade_configs=[{"upgrade_type": _UPGRADE}],
        stream_idle_timeout=seconds(300),
    )
    return extension(_HCM, manager)
