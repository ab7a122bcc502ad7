"""Snapshots -> resources: what is encoded, what is kept."""

from __future__ import annotations

from dataclasses import replace

from lateen.kube.meta import Key
from lateen.traffic.ir import (
    Backend,
    Endpoint,
    GatewayPort,
    Health,
    Match,
    PortKey,
    Protocol,
    Route,
    Service,
    ServicePort,
    Snapshot,
    VirtualHost,
)
from lateen.traffic.xds.compile import Changes, Compiler
from lateen.traffic.xds.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Name


def service(name: str, *addresses: str, cluster_ip: str = "127.96.0.1", protocol: Protocol = Protocol.HTTP) -> Service:
    endpoints = tuple(Endpoint(a, 8080, Health.HEALTHY) for a in addresses)
    port = ServicePort(PortKey("d", name, 80), "http", protocol, 80, endpoints)
    return Service(Key("d", name), cluster_ip, (port,))


def snapshot(*services: Service, **more: object) -> Snapshot:
    return Snapshot(services={s.key: s for s in services}, **more)  # type: ignore[arg-type]


def names(changes: Changes) -> list[tuple[str, str]]:
    return sorted((r.id.type.rpartition(".")[2], r.id.name) for r in changes.put)


def gateway(*targets: str) -> GatewayPort:
    backends = tuple(Backend(port=PortKey("d", t, 80)) for t in targets)
    route = Route(source=Key("d", "r"), match=Match(), backends=backends)
    return GatewayPort(gateway=Key("d", "g"), port=80, address="127.0.0.1", listen=8080, hosts=(VirtualHost("*", (route,)),))


def test_a_service_is_four_resources_of_the_mesh() -> None:
    changes = Compiler().update(snapshot(service("a", "127.64.0.1")))
    assert names(changes["mesh"]) == [
        ("Cluster", "d/a/80"),
        ("ClusterLoadAssignment", "d/a/80"),
        ("Listener", "service/d/a/80"),
        ("RouteConfiguration", "service/d/a/80"),
    ]
    assert changes["edge"] == Changes()


def test_an_endpoint_change_is_one_resource() -> None:
    compiler, other = Compiler(), service("b", cluster_ip="127.96.0.2")
    compiler.update(snapshot(service("a", "127.64.0.1"), other))
    changes = compiler.update(snapshot(service("a", "127.64.0.2"), other))
    assert [r.id for r in changes["mesh"].put] == [Name(ENDPOINTS, "d/a/80")]


def test_the_same_content_has_the_same_version_in_another_process() -> None:
    first, second = (Compiler().update(snapshot(service("a", "127.64.0.1")))["mesh"].put for _ in range(2))
    assert [(r.id, r.version) for r in first] == [(r.id, r.version) for r in second]


def test_tcp_has_no_routes_and_a_change_of_protocol_drops_them() -> None:
    compiler = Compiler()
    compiler.update(snapshot(service("a")))
    changes = compiler.update(snapshot(service("a", protocol=Protocol.TCP)))
    assert names(changes["mesh"]) == [("Listener", "service/d/a/80")]
    assert changes["mesh"].drop == (Name(ROUTES, "service/d/a/80"),)


def test_a_service_that_goes_takes_everything_with_it() -> None:
    compiler = Compiler()
    compiler.update(snapshot(service("a")))
    changes = compiler.update(snapshot())
    assert {n.type for n in changes["mesh"].drop} == {CLUSTER, ENDPOINTS, LISTENER, ROUTES}


def test_the_edge_has_only_what_its_routes_point_to() -> None:
    compiler, a, b = Compiler(), service("a"), service("b", cluster_ip="127.96.0.2")
    changes = compiler.update(snapshot(a, b, gateways=(gateway("a"),)))
    assert names(changes["edge"]) == [
        ("Cluster", "d/a/80"),
        ("ClusterLoadAssignment", "d/a/80"),
        ("Listener", "gateway/d/g/80"),
        ("RouteConfiguration", "gateway/d/g/80"),
    ]
    changes = compiler.update(snapshot(a, b, gateways=(gateway("b"),)))
    assert {n.name for n in changes["edge"].drop} == {"d/a/80"}
    assert ("RouteConfiguration", "gateway/d/g/80") in names(changes["edge"])
    assert ("Listener", "gateway/d/g/80") not in names(changes["edge"])


def test_a_headless_service_is_in_the_mesh_only_when_rules_send_to_it() -> None:
    compiler, a, headless = Compiler(), service("a"), service("h", "127.64.0.9", cluster_ip="")
    assert all(r.id.name != "d/h/80" for r in compiler.update(snapshot(a, headless))["mesh"].put)
    rule = Route(source=Key("d", "r"), match=Match(), backends=(Backend(port=PortKey("d", "h", 80)),))
    changes = compiler.update(snapshot(a, headless, mesh_routes={PortKey("d", "a", 80): (rule,)}))
    assert ("Cluster", "d/h/80") in names(changes["mesh"])
    changes = compiler.update(snapshot(a, headless))
    assert Name(CLUSTER, "d/h/80") in changes["mesh"].drop


def test_a_snapshot_knows_its_faults() -> None:
    broken = snapshot(service("a"), gateways=(gateway("missing"),))
    assert broken.consistent() == ["a route points to d/missing/80, which is not in the snapshot"]
    both = snapshot(service("a"), service("b"))
    assert list(both.clashes()) == ["d/b/80 and d/a/80 both listen on 127.96.0.1:80"]
    twice = replace(gateway(), hosts=(VirtualHost("*", ()), VirtualHost("*", ())))
    assert snapshot(gateways=(twice,)).consistent() == ["gateway d/g port 80 has a hostname twice"]


def outside(*places: tuple[str, int]) -> Service:
    plain = service("a", "10.64.1.1")
    return replace(plain, ports=(replace(plain.ports[0], outside=places),))


def test_a_place_on_the_machine_is_one_more_listener_of_the_mesh() -> None:
    compiler = Compiler()
    compiler.update(snapshot(service("a", "10.64.1.1")))
    changes = compiler.update(snapshot(outside(("127.0.0.1", 30080))))
    assert names(changes["mesh"]) == [("Listener", "service/d/a/80/outside/0")]
    assert changes["border"] == Changes()
    assert compiler.update(snapshot(service("a")))["mesh"].drop == (Name(LISTENER, "service/d/a/80/outside/0"),)


def test_with_a_network_of_its_own_the_machine_comes_through_the_border() -> None:
    compiler = Compiler("/run/x-gw")
    changes = compiler.update(snapshot(outside(("127.0.0.1", 30080), ("127.96.0.1", 80)), gateways=(gateway("a"),)))
    assert ("Listener", "service/d/a/80/outside") in names(changes["mesh"])
    assert names(changes["border"]) == [
        ("Cluster", "gateway/d/g/80"),
        ("Cluster", "service/d/a/80/outside"),
        ("ClusterLoadAssignment", "gateway/d/g/80"),
        ("ClusterLoadAssignment", "service/d/a/80/outside"),
        ("Listener", "gateway/d/g/80"),
        ("Listener", "service/d/a/80/outside/0"),
        ("Listener", "service/d/a/80/outside/1"),
    ]
    edge = next(r for r in changes["edge"].put if r.id == Name(LISTENER, "gateway/d/g/80"))
    assert b"/run/x-gw-" in edge.packed.resource.value and b"proxy_protocol" in edge.packed.resource.value
    gone = compiler.update(snapshot(gateways=()))
    assert len(gone["border"].drop) == 7
