"""resolv.conf of pods, as a kubelet writes it."""

from __future__ import annotations

from typing import Any

import pytest

from lateen.kube.resolv import Resolv, limited, parse_resolv, pod_resolv

NODE = parse_resolv("# of the machine\nsearch corp.example. example.com\nnameserver 192.0.2.53 # first\noptions edns0 ndots:1\n")
OWN = "search a.svc.cluster.local svc.cluster.local cluster.local corp.example example.com\n"
MACHINE = "search corp.example example.com\nnameserver 192.0.2.53\noptions edns0 ndots:1\n"


def text(dns: str = "10.96.0.10", **spec: Any) -> str:
    return pod_resolv({"metadata": {"namespace": "a"}, "spec": spec}, NODE, cluster_dns=dns, domain="cluster.local").text()


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, f"{OWN}nameserver 10.96.0.10\noptions ndots:5\n"),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, MACHINE),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, f"{OWN}nameserver 10.96.0.10\noptions ndots:5\n"),
        ({"dnsPolicy": "Default"}, MACHINE),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["b.c"]}}, "search b.c\nnameserver 1.1.1.1\n"),
        (
            {
                "dnsConfig": {
                    "nameservers": ["10.96.0.10", "1.1.1.1"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                }
            },
            f"{OWN}nameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
        ),
    ],
)
def test_what_a_pod_sees(spec: dict[str, Any], wanted: str) -> None:
    assert text(**spec) == wanted


def test_without_cluster_dns_it_is_the_machines() -> None:
    assert text(dns="") == MACHINE


def test_limits_are_said() -> None:
    servers = tuple(f"10.0.0.{i}" for i in range(5))
    cut, said = limited(Resolv(servers, tuple(f"d{i}.example" for i in range(33))))
    assert cut.nameservers == servers[:3] and len(cut.searches) == 32
    assert said[0] == (
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        "10.0.0.0 10.0.0.1 10.0.0.2"
    )
    assert said[1].startswith(
        "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: d0"
    )
    long = Resolv(searches=tuple(f"{'x' * 60}.{i:02}" for i in range(32)))
    assert len(" ".join(limited(long)[0].searches)) <= 2048
