"""A service port -> its cluster and endpoints. The defaults are decisions from measurements (docs/traffic.md)."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from lateen.traffic.ir import Endpoint, Health, Protocol, ServicePort
from lateen.traffic.xds.resource import ADS, Resource, extension, resource, seconds

# Shorter than the keep-alive of common application servers (uvicorn: 5 s), or a request meets a connection being closed.
UPSTREAM_IDLE = 4.0
CONNECT_TIMEOUT = 1.0
BUFFER_BYTES = 1 << 20
RETRY_FLOOR = 100
_MAGLEV_PLACES = 5003  # a prime; Envoy's default of 65,537 takes half a megabyte per service
_UNLIMITED = {"value": 1 << 30}
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_STATUS = {Health.HEALTHY: 1, Health.DRAINING: 3}

_BREAKERS = {
    "thresholds": [
        {
            "max_connections": _UNLIMITED,
            "max_pending_requests": _UNLIMITED,
            "max_requests": _UNLIMITED,
            # Envoy's default breaker of 3 concurrent retries fails most requests of a pod that dies under load. The floor is what
            # may be retried at once however few requests there are: with 10 and 128 connections 9 reads were lost per killed pod.
            "retry_budget": {"budget_percent": {"value": 20.0}, "min_retry_concurrency": {"value": RETRY_FLOOR}},
        }
    ]
}
_OUTLIERS: dict[str, Any] = {
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": {"value": 2},
    "consecutive_gateway_failure": {"value": 5},
    "enforcing_consecutive_gateway_failure": {"value": 100},
    "enforcing_consecutive_5xx": {"value": 0},
    "enforcing_success_rate": {"value": 0},
    "enforcing_local_origin_success_rate": {"value": 0},
    "max_ejection_percent": {"value": 50},
    "interval": seconds(1),
    "base_ejection_time": seconds(5),
    "max_ejection_time": seconds(30),
}


def cluster_name(port: ServicePort) -> str:
    """The cluster of a service port, also the name of its endpoints."""
    return str(port.key)


def cluster(port: ServicePort) -> Resource:
    """The cluster without its endpoints: it changes only with the port's protocol and stickiness."""
    name = cluster_name(port)
    message = cluster_pb2.Cluster(
        name=name,
        type="EDS",
        eds_cluster_config={"eds_config": ADS},
        connect_timeout=seconds(CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes={"value": BUFFER_BYTES},
        **_balancing(port),
        circuit_breakers=_BREAKERS,
        outlier_detection=_OUTLIERS,
        # Envoy's default merges changes for 1 s: ejection would come late exactly when endpoints change, in a rollout.
        common_lb_config={"update_merge_window": seconds(0), "healthy_panic_threshold": {"value": 0.0}},
        ignore_health_on_host_removal=True,
    )
    # A gateway may send HTTP to a port that says nothing of its protocol; for plain TCP these options mean nothing.
    options = extension("", _http_options(port.protocol))["typed_config"]
    message.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(options)
    return resource(name, message)


def _balancing(port: ServicePort) -> dict[str, Any]:
    """Hashing keeps a client with its endpoint while that one is there; without requests to count turns are taken."""
    if port.sticky:
        return {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": {"value": _MAGLEV_PLACES}}}
    return {"lb_policy": "ROUND_ROBIN" if port.protocol is Protocol.UDP else "LEAST_REQUEST"}


def _http_options(protocol: Protocol) -> Any:
    version = "http2_protocol_options" if protocol in (Protocol.HTTP2, Protocol.GRPC) else "http_protocol_options"
    return http_protocol_options_pb2.HttpProtocolOptions(
        common_http_protocol_options={"idle_timeout": seconds(UPSTREAM_IDLE)}, explicit_http_config={version: {}}
    )


def endpoints(port: ServicePort) -> Resource:
    """The members of a service port."""
    name = cluster_name(port)
    members = [
        endpoint_components_pb2.LbEndpoint(
            health_status=_STATUS[e.health],
            endpoint={"address": _address(e)},
        )
        for e in port.endpoints
    ]
    return resource(
        name, endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=[{"lb_endpoints": members}] if members else [])
    )


def _address(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.address.startswith("/"):  # a socket that leads out of the cluster's network
        return {"pipe": {"path": endpoint.address}}
    return {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}
