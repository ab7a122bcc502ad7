"""Where a Service can be reached from its machine."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.traffic.ir import Endpoint, Health
from lateen.traffic.translate.services import open_outside, through_doors, translate_service


def service(kind: str, ip: str = "10.96.1.2", **more: Any) -> Any:
    ports = [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}]
    return {"metadata": {"name": "a", "namespace": "d"}, "spec": {"type": kind, "clusterIP": ip, "ports": ports, **more}}


@pytest.mark.parametrize(
    ("obj", "places"),
    [
        (service("NodePort"), ["127.0.0.1:{node}"]),
        (service("LoadBalancer"), ["127.0.0.1:{node}", "127.96.1.2:{port}"]),
        (service("LoadBalancer", "127.96.1.2"), ["127.0.0.1:{node}"]),  # there the mesh already is
        (service("LoadBalancer", loadBalancerClass="x.dev/y"), ["127.0.0.1:{node}"]),
        (service("NodePort", externalIPs=["192.0.2.7", "2001:db8::1"]), ["127.0.0.1:{node}", "192.0.2.7:{port}"]),
    ],
)
def test_places(obj: Any, places: list[str]) -> None:
    plain = translate_service(obj, ())
    assert plain is not None
    tcp = tuple(p.format(node=30080, port=10080) for p in places)
    udp = tuple(p.format(node=30053, port=10053) for p in places)
    made = open_outside(plain, obj["spec"], machine_ip="127.0.0.1", unprivileged_start=1024)
    assert [tuple(f"{ip}:{port}" for ip, port in p.outside) for p in made.ports] == [tcp, udp]


def test_a_service_with_a_proxy_of_its_own_is_left_to_it() -> None:
    obj = service("ClusterIP")
    obj["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "other"}
    assert translate_service(obj, ()) is None


def test_an_endpoint_outside_is_reached_through_its_door() -> None:
    slices = [
        {
            "metadata": {"name": "a-1", "namespace": "d"},
            "ports": [{"name": "http", "port": 6443}],
            "endpoints": [{"addresses": ["10.64.0.1"]}, {"addresses": ["10.64.1.1"]}],
        }
    ]
    plain = translate_service(service("ClusterIP"), slices)
    assert plain is not None
    made = through_doors(plain, {("10.64.0.1", 6443): "/run/api"})
    assert made.ports[0].endpoints == (
        Endpoint("/run/api", 6443, Health.HEALTHY),
        Endpoint("10.64.1.1", 6443, Health.HEALTHY),
    )
