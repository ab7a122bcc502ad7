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
        (service("NodePort"), (("127.0.0.1", 30080),)),
        (service("LoadBalancer"), (("127.0.0.1", 30080), ("127.96.1.2", 10080))),
        (service("LoadBalancer", "127.96.1.2"), (("127.0.0.1", 30080),)),  # there the mesh already is
        (service("LoadBalancer", loadBalancerClass="x.dev/y"), (("127.0.0.1", 30080),)),
    ],
)
def test_places(obj: Any, places: tuple[tuple[str, int], ...]) -> None:
    plain = translate_service(obj, ())
    assert plain is not None
    made = open_outside(plain, obj["spec"], machine_ip="127.0.0.1", unprivileged_start=1024)
    assert [p.outside for p in made.ports] == [places]


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
