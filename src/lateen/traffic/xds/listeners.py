"""Addresses -> listeners: one per service port (mesh) or gateway port (edge). They point to routes or a cluster by name.

Listeners hardly ever change: a change would drain their connections. Everything that moves is in routes and endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.filters.udp.udp_proxy.v3 import route_pb2 as udp_route_pb2
from envoy.extensions.filters.udp.udp_proxy.v3 import udp_proxy_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2

from lateen.traffic.ir import Certificate, GatewayPort, Protocol, Service, ServicePort, TlsServer
from lateen.traffic.xds import tunnels
from lateen.traffic.xds.clusters import BUFFER_BYTES, cluster_name
from lateen.traffic.xds.resource import ADS, Resource, extension, pack, resource, seconds

_ROUTER = "envoy.filters.http.router"
_HCM = "envoy.filters.network.http_connection_manager"
TCP = "envoy.filters.network.tcp_proxy"
_TLS = "envoy.transport_sockets.tls"
_UDP = "envoy.filters.udp_listener.udp_proxy"
UDP_IDLE = 30.0  # what the kernel's connection tracking gives an unanswered UDP flow
_WHOLE_DATAGRAMS = {"max_rx_datagram_size": {"value": 65535}}  # Envoy's default drops what is longer than 1,500 bytes
# Envoy forbids the kernel to fragment on sockets that listen: answers longer than a packet would be lost. IPPROTO_IP,
# IP_MTU_DISCOVER, IP_PMTUDISC_DONT.
_MAY_FRAGMENT = {"level": 0, "name": 10, "int_value": 0, "state": "STATE_BOUND"}
_INSPECTOR = "envoy.filters.listener.tls_inspector"


def mesh_name(port: ServicePort) -> str:
    """The name of a service port's listener and routes."""
    return f"service/{port.key}"


def mesh_listener(address: str, port: ServicePort) -> Resource:
    """The listener on a service's cluster address."""
    if port.protocol is Protocol.UDP:
        return _datagrams(mesh_name(port), address, port.listen, port)
    filters, needs = _service_filters(port, edge=False)
    return plain_listener(mesh_name(port), address, port.listen, filters, needs=needs)


def outside_name(port: ServicePort, number: int | None = None) -> str:
    """The name of a listener for callers on the machine: the nth of a service port, or the one behind the border."""
    return f"{mesh_name(port)}/outside" if number is None else f"{mesh_name(port)}/outside/{number}"


def outside_listener(port: ServicePort, number: int) -> Resource:
    """The nth listener for callers on the machine, on its place."""
    if port.protocol is Protocol.UDP:
        return _datagrams(outside_name(port, number), *port.outside[number], port)
    filters, needs = _service_filters(port, edge=True)
    return plain_listener(outside_name(port, number), *port.outside[number], filters, needs=needs)


def door_listener(port: ServicePort, door: str, first: Sequence[dict[str, Any]]) -> Resource:
    """The listener for callers that come through the border, on the socket ``door``."""
    if port.protocol is Protocol.UDP:
        name, cluster = outside_name(port), cluster_name(port)
        chains = [{"filters": [tunnels.exit_of(name, cluster, sticky=port.sticky)]}]
        return _listener(name, _pipe(door), chains, needs=frozenset((cluster,)))
    filters, needs = _service_filters(port, edge=True)
    return _listener(outside_name(port), _pipe(door), filters, inspectors=first, needs=needs)


def health_name(service: Service) -> str:
    """The name of a service's health check: its listener, and the routes that are its answer."""
    return f"service/{service.key}/health"


def health_listener(service: Service, place: tuple[str, int]) -> Resource:
    """The listener that load balancers ask."""
    name = health_name(service)
    return plain_listener(name, *place, [{"filters": [_http(name, edge=False)]}])


def _service_filters(port: ServicePort, *, edge: bool) -> tuple[list[Any], frozenset[str]]:
    if port.protocol.is_http:
        return [{"filters": [_http(mesh_name(port), edge=edge)]}], frozenset()
    cluster = cluster_name(port)
    sticky: list[dict[str, Any]] = [{"source_ip": {}}] if port.sticky else []
    proxy = tcp_proxy_pb2.TcpProxy(stat_prefix=cluster, cluster=cluster, max_connect_attempts={"value": 3}, hash_policy=sticky)
    return [{"filters": [extension(TCP, proxy)]}], frozenset((cluster,))


def _datagrams(name: str, ip: str, number: int, port: ServicePort) -> Resource:
    cluster = cluster_name(port)
    return datagram_listener(name, ip, number, cluster, hash_policies=[{"source_ip": True}] if port.sticky else [])


def datagram_listener(name: str, ip: str, number: int, cluster: str, **more: Any) -> Resource:
    """A listener for UDP: what comes from one client's port goes to one endpoint, until nothing came for a while. ``more`` is of
    the proxy's configuration."""
    route = udp_route_pb2.Route(cluster=cluster)
    proxy = udp_proxy_pb2.UdpProxyConfig(
        stat_prefix=cluster,
        matcher={"on_no_match": {"action": {"name": "route", "typed_config": pack(route)}}},
        idle_timeout=seconds(UDP_IDLE),
        upstream_socket_config=_WHOLE_DATAGRAMS,
        **more,
    )
    message = listener_pb2.Listener(
        name=name,
        address={"socket_address": {"protocol": "UDP", "address": ip, "port_value": number}},
        udp_listener_config={"downstream_socket_config": _WHOLE_DATAGRAMS},
        listener_filters=[extension(_UDP, proxy)],
        socket_options=[_MAY_FRAGMENT],
        freebind={"value": True},
    )
    return resource(name, message, frozenset((cluster,)))


def edge_name(port: GatewayPort, server: TlsServer | None = None) -> str:
    """The name of a gateway port's listener, and of its routes (for HTTPS one set per server name)."""
    name = f"gateway/{port.gateway}/{port.port}"
    return f"{name}/{server.section}" if server else name


def edge_listener(port: GatewayPort, door: str = "", first: Sequence[dict[str, Any]] = ()) -> Resource:
    """The listener of one gateway port; on the socket ``door`` instead of its address, if that is given. ``first`` are listener
    filters that see a connection before all else."""
    name = edge_name(port)
    address = _pipe(door) if door else _socket_address(port.address, port.listen)
    if not port.servers:
        return _listener(name, address, [{"filters": [_http(name, edge=True)]}], inspectors=first)
    inspector = extension(_INSPECTOR, tls_inspector_pb2.TlsInspector())
    return _listener(name, address, [_tls_chain(port, s) for s in port.servers], inspectors=[*first, inspector])


def secret_name(certificate: Certificate) -> str:
    """The name under which a certificate is served."""
    return f"certificate/{certificate.name}"


def secret(certificate: Certificate) -> Resource:
    """A certificate with its key."""
    name = secret_name(certificate)
    message = secret_pb2.Secret(
        name=name,
        tls_certificate={
            "certificate_chain": {"inline_bytes": certificate.chain},
            "private_key": {"inline_bytes": certificate.key},
        },
    )
    return resource(name, message)


def secrets(port: GatewayPort) -> Iterator[Resource]:
    """Every certificate of a gateway port."""
    for server in port.servers:
        for certificate in server.certificates:
            yield secret(certificate)


def plain_listener(name: str, ip: str, port: int, chains: list[Any], *, needs: frozenset[str] = frozenset()) -> Resource:
    """A listener on an address."""
    return _listener(name, _socket_address(ip, port), chains, needs=needs)


def _pipe(path: str) -> dict[str, Any]:
    return {"pipe": {"path": path, "mode": 0o600}}


def _socket_address(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def _listener(
    name: str,
    address: dict[str, Any],
    chains: list[Any],
    *,
    inspectors: Sequence[dict[str, Any]] = (),
    needs: frozenset[str] = frozenset(),
) -> Resource:
    message = listener_pb2.Listener(
        name=name,
        address=address,
        filter_chains=chains,
        listener_filters=list(inspectors),
        per_connection_buffer_limit_bytes={"value": BUFFER_BYTES},
        # With SO_REUSEPORT a second process of the same user could take half of the connections without a word.
        enable_reuse_port={"value": False},
        freebind={"value": "socket_address" in address},  # external addresses need not be this machine's
    )
    return resource(name, message, needs)


def _tls_chain(port: GatewayPort, server: TlsServer) -> Any:
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [{"name": secret_name(c), "sds_config": ADS} for c in server.certificates],
        }
    )
    names = [server.hostname] if server.hostname not in ("", "*") else []
    return listener_components_pb2.FilterChain(
        name=server.section,
        filter_chain_match={"server_names": names},
        filters=[_http(edge_name(port, server), edge=True)],
        transport_socket={"name": _TLS, "typed_config": pack(context)},
    )


def _http(name: str, *, edge: bool) -> dict[str, Any]:
    manager = http_connection_manager_pb2.HttpConnectionManager(
        stat_prefix=name,
        codec_type="AUTO",
        rds={"route_config_name": name, "config_source": ADS},
        http_filters=[extension(_ROUTER, router_pb2.Router(suppress_envoy_headers=True))],
        server_header_transformation="PASS_THROUGH",
        use_remote_address={"value": edge},
        normalize_path={"value": edge},
        generate_request_id={"value": True},
        upgrade_configs=[{"upgrade_type": "websocket"}],
        http_protocol_options={"accept_http_10": True, "default_host_for_http_10": "localhost"},
        # A quiet stream (server-sent events, a long poll) is the application's business for an hour.
        stream_idle_timeout=seconds(3600),
    )
    return extension(_HCM, manager)
