"""How requests from the machine get into a cluster with a network of its own: the ``border`` proxy, outside, listens where a
gateway has its address and hands each connection to the ``edge`` proxy, inside, through a Unix socket, with the client's
address in front.

Bytes only: everything about requests is the edge's. Datagrams go through ``tunnels``. A socket file does not belong to a network,
so both sides find it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.extensions.filters.listener.proxy_protocol.v3 import proxy_protocol_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import upstream_proxy_protocol_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2

from lateen.traffic.xds import tunnels
from lateen.traffic.xds.clusters import BUFFER_BYTES
from lateen.traffic.xds.listeners import TCP, datagram_listener, plain_listener
from lateen.traffic.xds.resource import ADS, Resource, extension, resource, seconds

_UPSTREAM, _RAW = "envoy.transport_sockets.upstream_proxy_protocol", "envoy.transport_sockets.raw_buffer"
_FILTER = "envoy.filters.listener.proxy_protocol"


def door(prefix: str, name: str) -> str:
    """The socket through which connections to the listener ``name`` come in."""
    return f"{prefix}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def announced() -> dict[str, object]:
    """The listener filter that takes the client's address off a connection."""
    return extension(_FILTER, proxy_protocol_pb2.ProxyProtocol())


def crossing(prefix: str, name: str, places: Mapping[str, tuple[str, int]], *, udp: bool = False) -> Iterator[Resource]:
    """What the border has for the listener ``name`` inside: listeners by name, each at a place of the machine."""
    yield tunnels.way(name) if udp else _cluster(name)
    path = {"endpoint": {"address": {"pipe": {"path": door(prefix, name)}}}}
    yield resource(name, endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=[{"lb_endpoints": [path]}]))
    proxy = tcp_proxy_pb2.TcpProxy(stat_prefix=name, cluster=name, max_connect_attempts={"value": 3})
    for listener, (ip, port) in places.items():
        if udp:
            yield datagram_listener(listener, ip, port, name, **tunnels.entrance())
            continue
        filters = [{"filters": [extension(TCP, proxy)]}]
        yield plain_listener(listener, ip, port, filters, needs=frozenset((name,)))


def _cluster(name: str) -> Resource:
    transport = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport(
        config={"version": "V2"}, transport_socket=extension(_RAW, raw_buffer_pb2.RawBuffer())
    )
    message = cluster_pb2.Cluster(
        name=name,
        type="EDS",
        eds_cluster_config={"eds_config": ADS},
        connect_timeout=seconds(1),
        per_connection_buffer_limit_bytes={"value": BUFFER_BYTES},
        transport_socket=extension(_UPSTREAM, transport),
        circuit_breakers={"thresholds": [{"max_connections": {"value": 1 << 30}, "max_pending_requests": {"value": 1 << 30}}]},
    )
    return resource(name, message)
