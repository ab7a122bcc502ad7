"""What a node does not take, in a kubelet's words."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from lateen.cluster.node.admission import unchosen, unfit, unroomy

NODE = {"metadata": {"name": "node-0", "labels": {"disk": "ssd", "kubernetes.io/os": "linux"}}}
ROOM = {"cpu": "2", "memory": "1Gi", "pods": "3"}


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "main"}], **spec}}


def on_port(port: int, ip: str = "", protocol: str = "TCP") -> dict[str, Any]:
    wanted = {"containerPort": 80, "hostPort": port, "protocol": protocol, **({"hostIP": ip} if ip else {})}
    return pod(containers=[{"name": "main", "ports": [wanted]}])


@pytest.mark.parametrize(
    ("sysctl", "allowed", "refused"),
    [
        ("net.ipv4.tcp_syncookies", [], False),
        ("net/ipv4/tcp_syncookies", [], False),
        ("kernel.msgmax", [], True),
        ("kernel.msgmax", ["kernel.msg*"], False),
        ("net.core.somaxconn", ["kernel.msg*"], True),
    ],
)
def test_sysctls_that_are_not_safe_need_the_nodes_leave(sysctl: str, allowed: list[str], refused: bool) -> None:
    found = unfit(pod(securityContext={"sysctls": [{"name": sysctl, "value": "1"}]}), allowed)
    assert (found is not None) is refused
    if found:
        assert found == ("SysctlForbidden", f'forbidden sysctl: "{sysctl}" not allowlisted')


def test_pods_of_another_system_are_refused() -> None:
    found = unfit(pod(os={"name": "windows"}), [])
    assert found is not None and found.reason == "PodOSNotSupported"
    assert unfit(pod(os={"name": "linux"}), []) is None


def test_a_pod_that_asks_for_another_node_is_refused() -> None:
    terms = [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["hdd"]}]}]
    required = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    for spec in ({"nodeSelector": {"disk": "hdd"}}, {"affinity": required}):
        found = unchosen(pod(**spec), NODE)
        assert found is not None and found.reason == "NodeAffinity"
        assert unchosen(pod(**spec), {}) is None  # not registered yet
    assert unchosen(pod(nodeSelector={"disk": "ssd"}), NODE) is None


def test_a_pod_finds_room_or_is_told_the_numbers() -> None:
    given, others = {"cpu": Fraction(3, 2), "memory": Fraction(0)}, [pod()]
    found = unroomy(pod(), others, wanted={"cpu": Fraction(3, 4)}, given=given, room=ROOM)
    assert found == ("OutOfcpu", "Node didn't have enough resource: cpu, requested: 750, used: 1500, capacity: 2000")
    assert unroomy(pod(), others, wanted={"cpu": Fraction(1, 2)}, given=given, room=ROOM) is None
    full = unroomy(pod(), [pod()] * 3, wanted={}, given={}, room=ROOM)
    assert full == ("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3")


def test_ports_of_the_host_are_given_once() -> None:
    def clash(a: dict[str, Any], b: dict[str, Any]) -> bool:
        found = unroomy(a, [b], wanted={}, given={}, room=ROOM)
        return found is not None and found.reason == "NodePorts"

    assert clash(on_port(80), on_port(80)) and clash(on_port(80, "127.0.0.1"), on_port(80))
    assert not clash(on_port(80), on_port(81)) and not clash(on_port(80), on_port(80, protocol="UDP"))
    assert not clash(on_port(80, "127.0.0.1"), on_port(80, "127.0.0.2"))
